"""How a version comes to be: from an artifact in the request, or one that is uploaded.

Inline::

    resolve features ─ validate ─ build profile ─ S3: artifact, profile ─ one transaction: READY

Uploaded::

    resolve features ─ one transaction: PENDING_UPLOAD ─ (caller uploads) ─ complete:
    read upload ─ validate ─ build profile ─ S3: artifact, profile ─ one transaction: READY or REJECTED

What reaches S3 before the transaction is addressed by its content, so an attempt that dies in between
leaves at worst an object that nothing names, and the next attempt writes the same bytes again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from neuralstream_core.errors import ArtifactRejected, Conflict, Invalid, NotFound, TooLarge
from neuralstream_core.registry.artifacts import (
    MAX_ARTIFACT,
    UPLOAD_SECONDS,
    ArtifactStore,
    Upload,
)
from neuralstream_core.registry.events import EventKind
from neuralstream_core.registry.issuer import Issuer
from neuralstream_core.registry.journal import Change, Command
from neuralstream_core.registry.records import (
    Checked,
    FeatureRef,
    ModelRecord,
    Signature,
    Stage,
    VersionRecord,
    VersionStatus,
    number_of,
)
from neuralstream_core.registry.registration import (
    MAX_INLINE,
    Asked,
    Baseline,
    Registration,
    samples_of,
)
from neuralstream_core.registry.registry import Registry
from neuralstream_core.registry.views import SchemaSource, check_views, hold, resolve
from neuralstream_core.time import from_micros

__all__ = ["Profiler", "Registered", "Registrar", "Validated", "Validator"]


@dataclass(frozen=True, slots=True)
class Validated:
    """What a good artifact turned out to be, and what its check found."""

    signature: Signature
    check: Checked | None = None


class Validator(Protocol):
    """Loads an artifact, settles what it is and proves it."""

    def validate(self, version: VersionRecord, data: bytes, asked: Asked, /) -> Validated:
        """What a good artifact is, in bounded memory and time.

        Args:
            version: the draft: its format, features and missing-value policy count.

        Raises:
            ArtifactRejected: with the reason.
        """


class Profiler(Protocol):
    """Makes a monitoring profile from a baseline."""

    def fetched(self, baseline: Baseline, features: Sequence[FeatureRef], /) -> Baseline:
        """The baseline with the values of its reference in place of it.

        Raises:
            Invalid: the reference cannot be read.
        """

    def profile(
        self, baseline: Baseline, features: Sequence[FeatureRef], signature: Signature, /
    ) -> bytes:
        """The profile as JSON.

        Raises:
            Invalid: the baseline does not fit the version.
        """


@dataclass(frozen=True, slots=True)
class Registered:
    """A registered version; ``upload`` says how to send its artifact, if it is awaited."""

    version: VersionRecord
    upload: Upload | None = None
    replayed: bool = False


class Registrar:
    """Registers versions and completes uploads."""

    def __init__(
        self,
        registry: Registry,
        artifacts: ArtifactStore,
        schemas: SchemaSource,
        validator: Validator,
        profiler: Profiler,
    ) -> None:
        self._registry = registry
        self._artifacts = artifacts
        self._schemas = schemas
        self._validator = validator
        self._profiler = profiler

    def register(self, model: str, request: Registration, by: Issuer) -> Registered:
        """Give ``request`` the model's next version number; a model not known yet is created.

        Raises:
            ArtifactRejected: the inline artifact failed validation; nothing was registered.
            Invalid: features, parents or baseline are wrong.
            TooLarge: the artifact.
        """
        command = Command(model, "register", by, request.model_dump_json().encode())
        earlier = self._registry.journal.earlier(command)
        if earlier is not None:
            return self._registered(model, earlier.event.version or "", by, replayed=True)
        features, views = by.retry(
            lambda: resolve(self._schemas, request.features, request.missing)
        )
        by.retry(lambda: self._check_parents(model, request))
        draft = VersionRecord(
            model=model,
            version="v1",  # its number is settled in the transaction
            status=VersionStatus.READY,
            stage=Stage.STAGING,
            format=request.format,
            digest="0" * 64,
            size=0,
            features=features,
            feature_views=views,
            missing=request.missing,
            metrics=request.metrics,
            params=request.params,
            lineage=request.lineage.model_dump(mode="json", exclude_defaults=True),
            description=request.description,
            tags=request.tags,
            created_at=from_micros(self._registry.clock()),
            created_by=by.actor,
        )
        if request.artifact is not None:
            prepared = self._await_upload(draft, request, by)
        else:
            data = _decoded(request.artifact_base64 or "")
            draft = draft.model_copy(update={"size": len(data)})
            prepared = self._validated(draft, data, request.proof, request.baseline, by)
        done = self._registry.journal.commit(command, lambda m: self._add(m, prepared))
        return self._registered(model, done.event.version or "", by, replayed=done.replayed)

    def complete(self, model: str, version: str, by: Issuer) -> VersionRecord:
        """Validate an uploaded artifact and settle its version; done twice, it gives the same answer.

        Raises:
            ArtifactRejected: it failed validation; the version is REJECTED with the reason.
            Conflict: nothing was uploaded yet.
        """
        found = self._version(model, version, by)
        if found.status is VersionStatus.PENDING_UPLOAD:
            try:
                settled, kind = self._inspected(found, by), EventKind.READY
            except (ArtifactRejected, TooLarge, _BadBaseline) as error:
                rejected = {
                    "status": VersionStatus.REJECTED,
                    "reason": error.detail[:1024],
                    "reason_code": error.code if isinstance(error, ArtifactRejected) else None,
                }
                settled, kind = found.model_copy(update=rejected), EventKind.REJECTED
            found = self._settle(settled, kind, by)
        if found.status is VersionStatus.REJECTED:
            raise ArtifactRejected(
                found.reason or "the artifact was rejected", code=found.reason_code
            )
        return found

    def adopt_baseline(
        self, model: str, version: str, baseline: Baseline, by: Issuer
    ) -> VersionRecord:
        """Give a READY version a baseline, or another one.

        Raises:
            Invalid: it does not fit the version.
            Conflict: the version is not READY.
        """
        found = self._version(model, version, by)
        if found.signature is None:
            raise Conflict(f"{version} is {found.status}", code="not_ready")
        data = self._profiler.profile(baseline, found.features, found.signature)
        digest = by.retry(lambda: self._artifacts.put_profile(data))
        self._registry.set_profile(model, version, digest, by)
        return self._version(model, version, by)

    def _version(self, model: str, version: str, by: Issuer) -> VersionRecord:
        return by.retry(lambda: self._registry.version(model, version))

    def _registered(self, model: str, version: str, by: Issuer, *, replayed: bool) -> Registered:
        found = self._version(model, version, by)
        upload = None
        if found.status is VersionStatus.PENDING_UPLOAD:
            upload = self._artifacts.presign(found.upload_key or "", found.digest, found.size)
        return Registered(found, upload, replayed)

    def _await_upload(
        self, draft: VersionRecord, request: Registration, by: Issuer
    ) -> VersionRecord:
        spec = request.artifact
        if spec is None or spec.size > MAX_ARTIFACT:
            raise TooLarge(f"an artifact may have at most {MAX_ARTIFACT} bytes")
        key = f"uploads/{self._registry.namespace}/{draft.model}/{secrets.token_hex(8)}"
        if request.baseline is not None:
            # It is turned into a profile once the model's classes are known.
            body = request.baseline.model_dump_json().encode()
            by.retry(lambda: self._artifacts.put_upload(f"{key}.baseline", body))
        proof = request.proof
        if proof != Asked():
            asked = proof.model_dump_json().encode()
            by.retry(lambda: self._artifacts.put_upload(f"{key}.proof", asked))
        return draft.model_copy(
            update={
                "status": VersionStatus.PENDING_UPLOAD,
                "digest": spec.sha256,
                "size": spec.size,
                "upload_key": key,
                "awaits_baseline": request.baseline is not None,
                "awaits_proof": proof != Asked(),
                "upload_expires_at": from_micros(
                    self._registry.clock() + UPLOAD_SECONDS * 1_000_000
                ),
            }
        )

    def _inspected(self, version: VersionRecord, by: Issuer) -> VersionRecord:
        key = version.upload_key or ""
        data = by.retry(lambda: self._artifacts.uploaded(key))
        digest = hashlib.sha256(data).hexdigest()
        if digest != version.digest or len(data) != version.size:
            raise ArtifactRejected(
                f"{len(data)} bytes with SHA-256 {digest} were uploaded; "
                f"{version.size} bytes with {version.digest} were announced"
            )
        baseline: Baseline | None = None
        if version.awaits_baseline:
            body = by.retry(lambda: self._artifacts.uploaded(f"{key}.baseline"))
            baseline = Baseline.model_validate_json(body)
        asked = Asked()
        if version.awaits_proof:
            kept = by.retry(lambda: self._artifacts.uploaded(f"{key}.proof"))
            asked = Asked.model_validate_json(kept)
        try:
            return self._validated(version, data, asked, baseline, by)
        except ArtifactRejected:
            raise
        except Invalid as error:
            raise _BadBaseline(error.detail) from error

    def _validated(
        self,
        version: VersionRecord,
        data: bytes,
        asked: Asked,
        baseline: Baseline | None,
        by: Issuer,
    ) -> VersionRecord:
        """``version`` as READY, its artifact, profile and check stored."""
        if baseline is not None:
            baseline = self._profiler.fetched(baseline, version.features)
            if asked.check is None:
                samples = samples_of(baseline, version.features)
                asked = asked.model_copy(update={"samples": samples})
        validated = self._validator.validate(version, data, asked)
        checked = validated.check
        profile: str | None = None
        if baseline is not None:
            body = self._profiler.profile(baseline, version.features, validated.signature)
            profile = by.retry(lambda: self._artifacts.put_profile(body))
        if checked is not None and asked.check is not None:
            kept = asked.check.model_dump_json().encode()
            stored = by.retry(lambda: self._artifacts.put_check(kept))
            checked = checked.model_copy(update={"digest": stored})
        digest = by.retry(lambda: self._artifacts.put(data))
        return version.model_copy(
            update={
                "status": VersionStatus.READY,
                "digest": digest,
                "signature": validated.signature,
                "check": checked,
                "profile": profile,
            }
        )

    def _add(self, model: ModelRecord | None, draft: VersionRecord) -> Change:
        registry = self._registry
        if model is None:
            now = from_micros(registry.clock())
            model = ModelRecord(
                name=draft.model, salt=secrets.token_hex(8), created_at=now, updated_at=now
            )
        latest = 0 if model.latest_version is None else number_of(model.latest_version)
        version = draft.model_copy(update={"version": f"v{latest + 1}"})
        actions: list[dict[str, Any]] = []
        if version.status is VersionStatus.READY:
            check_views(registry.table, registry.namespace, version)
            actions = hold(registry.table, registry.namespace, version)
        return Change(
            model=model.model_copy(update={"latest_version": version.version}),
            kind=EventKind.REGISTERED,
            version=version.version,
            versions=[version],
            stages={version.version: Stage.STAGING},
            data={"status": version.status, "digest": version.digest},
            actions=actions,
        )

    def _settle(self, settled: VersionRecord, kind: EventKind, by: Issuer) -> VersionRecord:
        registry = self._registry
        name = settled.version

        def decide(model: ModelRecord, versions: Any) -> Change:
            now = versions(name)
            if now.status is not VersionStatus.PENDING_UPLOAD:
                raise _AlreadySettled
            # Description and tags may have been edited while the artifact was validated.
            kept = {"description": now.description, "tags": now.tags, "stage": now.stage}
            change = Change(
                model=model,
                kind=kind,
                version=name,
                reason=settled.reason,
                versions=[settled.model_copy(update=kept)],
                data={"status": settled.status, "digest": settled.digest},
            )
            if settled.status is VersionStatus.READY:
                check_views(registry.table, registry.namespace, settled)
                actions = hold(registry.table, registry.namespace, settled)
                change = replace(change, actions=actions)
            return change

        with suppress(_AlreadySettled):
            # No idempotency key: the version itself says that it is settled.
            registry.change(Command(settled.model, "complete", replace(by, key=None)), decide)
        return self._version(settled.model, name, by)

    def _check_parents(self, model: str, request: Registration) -> None:
        for place, parent in enumerate(request.lineage.parents):
            owner, _, version = parent.rpartition("@")
            try:
                self._registry.version(owner or model, version)
            except NotFound as error:
                raise Invalid.at(f"lineage.parents.{place}", error.detail) from None


class _AlreadySettled(Exception):
    """Another `complete` was faster."""


class _BadBaseline(Invalid):
    """The baseline that came with an upload does not fit."""


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid.at("artifact_base64", "not valid base64") from None
    if len(data) > MAX_INLINE:
        raise TooLarge(f"an inline artifact may have at most {MAX_INLINE} bytes; upload it instead")
    return data
