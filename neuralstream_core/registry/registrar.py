"""Registering a version: from an artifact in the request, or one that is uploaded.

Inline::

    resolve features ─ validate ─ build profile ─ S3: artifact, profile ─ one transaction: READY

Uploaded::

    resolve features ─ one transaction: PENDING_UPLOAD ─ (caller uploads) ─ complete:
    read upload ─ validate ─ build profile ─ S3: artifact, profile ─ one transaction: READY or REJECTED

What is written to S3 before the transaction is addressed by its content: an attempt that ends in between
leaves at worst an object that nothing refers to, and the next attempt writes the same bytes again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from neuralstream_core.errors import ArtifactRejected, Conflict, Invalid, NotFound, TooLarge
from neuralstream_core.features.listing import SchemaSource, ServiceSource
from neuralstream_core.registry.artifacts import MAX_ARTIFACT, ArtifactStore
from neuralstream_core.registry.events import EventKind
from neuralstream_core.registry.issuer import Issuer
from neuralstream_core.registry.journal import Change, Command, Committed
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
from neuralstream_core.registry.views import check_views, hold, resolve
from neuralstream_core.time import from_micros
from neuralstream_core.uploads import UPLOAD_SECONDS, Upload

__all__ = ["Profiler", "Registered", "Registrar", "Validated", "Validator"]

_AS_ASKED: Final = {"format", "missing", "metrics", "params", "description", "tags"}
"""Fields of a version that are those of its registration."""


@dataclass(frozen=True, slots=True)
class Validated:
    """The signature of an artifact that was accepted, and what its check found."""

    signature: Signature
    check: Checked | None = None


class Validator(Protocol):
    """Loads an artifact, finds out its signature and runs its check, in bounded memory and time."""

    def validate(self, version: VersionRecord, data: bytes, asked: Asked, /) -> Validated:
        """What the artifact of a draft version is; raises `ArtifactRejected` with the reason."""


class Profiler(Protocol):
    """Makes a monitoring profile from a baseline."""

    def fetched(self, baseline: Baseline, features: Sequence[FeatureRef], /) -> Baseline:
        """The baseline with the values that its reference holds; raises `Invalid` if it cannot be read."""

    def profile(
        self, baseline: Baseline, features: Sequence[FeatureRef], signature: Signature, /
    ) -> bytes:
        """The profile as JSON; raises `Invalid` if the baseline does not fit the version."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A registered version; ``upload`` says how to send its artifact, if it is awaited."""

    version: VersionRecord
    upload: Upload | None = None


class Registrar:
    """Registers versions and completes uploads."""

    def __init__(
        self,
        registry: Registry,
        artifacts: ArtifactStore,
        schemas: SchemaSource,
        services: ServiceSource,
        validator: Validator,
        profiler: Profiler,
    ) -> None:
        self._registry, self._artifacts = registry, artifacts
        self._schemas, self._services = schemas, services
        self._validator, self._profiler = validator, profiler

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
            return self._registered(earlier, by)
        resolved = by.retry(
            lambda: resolve(self._schemas, self._services, request.features, request.missing)
        )
        by.retry(lambda: self._check_parents(model, request))
        draft = VersionRecord(
            **request.model_dump(include=_AS_ASKED),
            model=model,
            version="v1",  # its number is settled in the transaction
            status=VersionStatus.READY,
            stage=Stage.STAGING,
            digest="0" * 64,
            size=0,
            features=resolved.features,
            feature_views=resolved.views,
            feature_services=resolved.services,
            lineage=request.lineage.model_dump(mode="json", exclude_defaults=True),
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
        return self._registered(done, by)

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
            except (Invalid, TooLarge) as error:
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
        return self._registry.set_profile(model, version, digest, by)

    def _version(self, model: str, version: str, by: Issuer) -> VersionRecord:
        return by.retry(lambda: self._registry.version(model, version))

    def _registered(self, done: Committed, by: Issuer) -> Registered:
        found = self._registry.version_after(done, by)
        upload = None
        if found.status is VersionStatus.PENDING_UPLOAD:
            upload = self._artifacts.presign(found.upload_key or "", found.digest, found.size)
        return Registered(found, upload)

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
        baseline, asked = None, Asked()
        if version.awaits_baseline:
            body = by.retry(lambda: self._artifacts.uploaded(f"{key}.baseline"))
            baseline = Baseline.model_validate_json(body)
        if version.awaits_proof:
            body = by.retry(lambda: self._artifacts.uploaded(f"{key}.proof"))
            asked = Asked.model_validate_json(body)
        return self._validated(version, data, asked, baseline, by)

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
        return Change(
            model=model.model_copy(update={"latest_version": version.version}),
            kind=EventKind.REGISTERED,
            version=version.version,
            versions=[version],
            stages={version.version: Stage.STAGING},
            data={"status": version.status, "digest": version.digest},
            actions=self._holds(version),
        )

    def _holds(self, version: VersionRecord) -> list[dict[str, Any]]:
        """Transaction writes that hold the views of a READY version; another one holds none."""
        if version.status is not VersionStatus.READY:
            return []
        check_views(self._registry.table, self._registry.namespace, version)
        return hold(self._registry.table, self._registry.namespace, version)

    def _settle(self, settled: VersionRecord, kind: EventKind, by: Issuer) -> VersionRecord:
        name = settled.version

        def decide(model: ModelRecord, versions: Any) -> Change:
            now = versions(name)
            if now.status is not VersionStatus.PENDING_UPLOAD:
                raise _AlreadySettled
            # Description and tags may have been edited while the artifact was validated.
            kept = {"description": now.description, "tags": now.tags, "stage": now.stage}
            return Change(
                model=model,
                kind=kind,
                version=name,
                versions=[settled.model_copy(update=kept)],
                data={"status": settled.status, "digest": settled.digest},
                actions=self._holds(settled),
            )

        # No idempotency key: the version itself says that it is settled.
        unkeyed = replace(by, key=None)
        command = Command(settled.model, "complete", unkeyed, reason=settled.reason)
        try:
            done = self._registry.change(command, decide)
        except _AlreadySettled:
            return self._version(settled.model, name, by)
        return self._registry.version_after(done, by)

    def _check_parents(self, model: str, request: Registration) -> None:
        for place, parent in enumerate(request.lineage.parents):
            owner, _, version = parent.rpartition("@")
            try:
                self._registry.version(owner or model, version)
            except NotFound as error:
                raise Invalid.at(f"lineage.parents.{place}", error.detail) from None


class _AlreadySettled(Exception):
    """Another `complete` was faster."""


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid.at("artifact_base64", "not valid base64") from None
    if len(data) > MAX_INLINE:
        raise TooLarge(f"an inline artifact may have at most {MAX_INLINE} bytes; upload it instead")
    return data
