"""``ns.models``: models, versions, promotion, splits and lineage."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from neuralstream_client._async.rollouts import AsyncRollouts
from neuralstream_client.answers import (
    LineageAnswer,
    ModelAnswer,
    SplitAnswer,
    SplitResults,
    Stage,
    VersionAnswer,
)
from neuralstream_client.call import Call, encoded, given, path
from neuralstream_client.errors import DataError
from neuralstream_client.lineage import joined

__all__ = ["AsyncModels"]

_INLINE_BYTES: Final = 4 * 1024 * 1024
"""If an artifact and the rest of its registration are larger together, it is uploaded to the store."""
_MODEL: Final = "/models/{}"
_VERSION: Final = "/models/{}/versions/{}"


class AsyncModels(AsyncRollouts):
    """The model registry.

    Commands take an ``idempotency_key``: sent again with the same one, a command is carried out once. Each
    call makes its own, so retries are safe; give one to make a call of another process safe to repeat too.
    """

    def list(
        self, *, prefix: str = "", tag: str | None = None, page_size: int = 50
    ) -> AsyncIterator[ModelAnswer]:
        """All models by name.

        Args:
            prefix: only those whose names begin with it.
            tag: only those with this tag, ``key`` or ``key:value``.
            page_size: models per request.
        """
        query = {"limit": page_size, "prefix": prefix or None, "tag": tag}
        return self._transport.pages("/models", "models", ModelAnswer.model_validate, query)

    async def get(self, model: str) -> ModelAnswer:
        """One model: its production version, split and history.

        Raises:
            NotFound: there is none of this name.
        """
        return await self._transport.fetch(ModelAnswer, Call.of("GET", path(_MODEL, model)))

    def versions(
        self,
        model: str,
        *,
        stage: Stage | None = None,
        tag: str | None = None,
        page_size: int = 50,
    ) -> AsyncIterator[VersionAnswer]:
        """Versions of a model, the newest first.

        Args:
            model: the model.
            stage: only those of this stage.
            tag: only those with this tag, ``key`` or ``key:value``.
            page_size: versions per request.
        """
        query = {"limit": page_size, "stage": stage, "tag": tag}
        return self._transport.pages(
            path("/models/{}/versions", model), "versions", VersionAnswer.model_validate, query
        )

    async def version(self, model: str, version: str) -> VersionAnswer:
        """One version.

        Raises:
            NotFound: there is no such model or version.
        """
        call = Call.of("GET", path(_VERSION, model, version))
        return await self._transport.fetch(VersionAnswer, call)

    async def register(
        self,
        model: str,
        registration: Mapping[str, Any],
        artifact: bytes | str | Path | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> VersionAnswer:
        """Register a version; its artifact is inspected, loaded and run before it is READY.

        Args:
            model: the model; created by its first version.
            registration: ``format``, ``features`` and all else that ``POST /models/{name}/versions`` takes.
            artifact: the model file, or its path; sent inline if small, else uploaded. ``None`` if the
                registration has it.
            idempotency_key: see the class.

        Raises:
            DataError: the artifact cannot be read.
            Invalid: the registration or the artifact was refused.
        """
        content = _content(artifact)
        body = dict(registration)
        if content is not None and len(content) + len(encoded(body)) <= _INLINE_BYTES:
            body["artifact_base64"] = base64.b64encode(content).decode()
        elif content is not None:
            digest = hashlib.sha256(content).hexdigest()
            body["artifact"] = {"sha256": digest, "size": len(content)}
        call = Call.once(
            "POST", path("/models/{}/versions", model), body=body, idempotency_key=idempotency_key
        )
        registered = await self._transport.fetch(VersionAnswer, call)
        upload = registered.upload
        if content is None or upload is None:
            return registered
        await self._transport.upload(upload.url, upload.headers, content)
        return await self.complete(model, registered.version)

    async def complete(self, model: str, version: str) -> VersionAnswer:
        """Validate an uploaded artifact; the version is READY or REJECTED afterwards.

        Raises:
            Invalid: the artifact was not uploaded, or was refused.
        """
        return await self._version_command("complete", model, version, None)

    async def edit(
        self,
        model: str,
        *,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        require: Mapping[str, Any] | None = None,
        log: Mapping[str, Any] | None = None,
    ) -> ModelAnswer:
        """Edit a model.

        Args:
            model: the model.
            description: for people.
            tags: replace the model's tags.
            require: promotion gates, such as ``{"metrics.auc": {"min": 0.8}}``.
            log: which predictions are kept for the outcomes that come later, such as
                ``{"sample": 0.1, "features": True}``; a sample of 0 keeps none.
        """
        body = given(description=description, tags=tags, require=require, log=log)
        call = Call.once("PATCH", path(_MODEL, model), body=body)
        return await self._transport.fetch(ModelAnswer, call)

    async def edit_version(
        self,
        model: str,
        version: str,
        *,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> VersionAnswer:
        """Edit a version's description and tags."""
        body = given(description=description, tags=tags)
        call = Call.once("PATCH", path(_VERSION, model, version), body=body)
        return await self._transport.fetch(VersionAnswer, call)

    async def promote(
        self,
        model: str,
        version: str,
        *,
        stage: Literal["production", "staging"] = "production",
        reason: str | None = None,
        expected_production: str | None = None,
        idempotency_key: str | None = None,
    ) -> ModelAnswer:
        """Put a version into production, or take an archived one back to staging.

        Args:
            model: the model.
            version: the version.
            stage: ``staging`` takes an archived version back.
            reason: recorded in the model's events.
            expected_production: refuse unless this version is in production.
            idempotency_key: see the class.

        Raises:
            Conflict: the version is not READY, a promotion gate is not met, or production is another.
        """
        body = given(reason=reason, expected_production=expected_production, stage=stage)
        call = Call.once(
            "POST",
            path("/models/{}/promote/{}", model, version),
            body=body,
            idempotency_key=idempotency_key,
        )
        return await self._transport.fetch(ModelAnswer, call)

    async def rollback(
        self,
        model: str,
        *,
        reason: str | None = None,
        expected_production: str | None = None,
        idempotency_key: str | None = None,
    ) -> ModelAnswer:
        """Return to the former production version.

        Raises:
            Conflict: there is none, or production is not the expected version.
        """
        body = given(reason=reason, expected_production=expected_production)
        call = Call.once(
            "POST", path("/models/{}/rollback", model), body=body, idempotency_key=idempotency_key
        )
        return await self._transport.fetch(ModelAnswer, call)

    async def archive(
        self, model: str, version: str, *, reason: str | None = None
    ) -> VersionAnswer:
        """Archive a version that serves no traffic.

        Raises:
            Conflict: it is in production or in a split.
        """
        return await self._version_command("archive", model, version, given(reason=reason))

    async def split(
        self, model: str, weights: Mapping[str, float], *, reason: str | None = None
    ) -> SplitAnswer:
        """Divide the traffic over versions; an entity keeps its version as far as possible.

        Args:
            model: the model.
            weights: by version, with a sum of 1.
            reason: recorded in the model's events.
        """
        body = {"split": dict(weights), **given(reason=reason)}
        call = Call.once("POST", path("/models/{}/ab-split", model), body=body)
        return await self._transport.fetch(SplitAnswer, call)

    async def get_split(self, model: str) -> SplitAnswer:
        """How the traffic is divided."""
        call = Call.of("GET", path("/models/{}/ab-split", model))
        return await self._transport.fetch(SplitAnswer, call)

    async def split_results(
        self,
        model: str,
        *,
        metric: str | None = None,
        alpha: float | None = None,
        effect: float | None = None,
        start: datetime | None = None,
    ) -> SplitResults:
        """Which version of the split that runs, or ran last, is better, as far as outcomes tell.

        Its intervals hold however often they are looked at.

        Args:
            model: the model.
            metric: ``accuracy``, ``log_loss``, ``brier``, ``mae`` or ``rmse``; the first or ``mae`` when not
                given.
            alpha: probability of a wrong interval at any look; 0.05 when not given.
            effect: difference worth finding, for which the answer plans.
            start: with a time zone: only predictions from then on.

        Raises:
            Conflict: the traffic of this model was never split.
        """
        since = None if start is None else start.isoformat()
        query = {"metric": metric, "alpha": alpha, "effect": effect, "start": since}
        call = Call.of("GET", path("/models/{}/ab-split/results", model), query=query)
        return await self._transport.fetch(SplitResults, call)

    async def end_split(self, model: str) -> SplitAnswer:
        """Send all traffic to the production version again.

        Raises:
            Conflict: there is no split.
        """
        call = Call.once("DELETE", path("/models/{}/ab-split", model))
        return await self._transport.fetch(SplitAnswer, call)

    async def adopt_baseline(
        self, model: str, version: str, baseline: Mapping[str, Any]
    ) -> VersionAnswer:
        """Give a version its baseline for drift reports.

        Args:
            model: the model.
            version: the version.
            baseline: ``columns``, ``prediction``, ``probability``, or ``reference``, or ``production_rows``.
        """
        return await self._version_command("baseline", model, version, dict(baseline))

    async def lineage(self, model: str) -> LineageAnswer:
        """What each version was made from and what happened since, with all pages joined.

        ``graph`` has nodes (versions, datasets, code, views, artifacts) and the edges between them.
        """
        pages: list[LineageAnswer] = []
        versions: str | None = None
        events: str | None = None
        while not pages or versions or events:
            query = {"next_token": versions, "next_events_token": events}
            call = Call.of("GET", path("/models/{}/lineage", model), query=query)
            page = await self._transport.fetch(LineageAnswer, call)
            if pages and versions is None:
                page = page.model_copy(update={"versions": [], "next_token": None})
            if pages and events is None:
                page = page.model_copy(update={"events": [], "next_events_token": None})
            pages.append(page)
            versions, events = page.next_token, page.next_events_token
        return joined(pages)

    async def _version_command(
        self, command: str, model: str, version: str, body: Mapping[str, Any] | None
    ) -> VersionAnswer:
        call = Call.once("POST", f"{path(_VERSION, model, version)}/{command}", body=body)
        return await self._transport.fetch(VersionAnswer, call)


def _content(artifact: bytes | str | Path | None) -> bytes | None:
    if artifact is None or isinstance(artifact, bytes):
        return artifact
    try:
        return Path(artifact).read_bytes()
    except OSError as error:
        raise DataError(f"the artifact cannot be read: {error}") from error
