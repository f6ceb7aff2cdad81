"""What the registry's routes take besides `requests`, and what they answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from neuralstream_core.registry.records import (
    Checked,
    Digest,
    FeatureRef,
    Format,
    Gate,
    MissingPolicy,
    ModelRecord,
    Signature,
    Stage,
    VersionRecord,
    VersionStatus,
)
from neuralstream_core.registry.registrar import Registered
from neuralstream_core.registry.registry import Listing
from neuralstream_core.registry.requests import Reason
from neuralstream_core.registry.rules import ANY, MAX_SPLIT
from neuralstream_core.types import Frozen, Name, Record, VersionName

__all__ = [
    "ArchiveRequest",
    "ModelAnswer",
    "ModelsAnswer",
    "PromoteRequest",
    "RollbackRequest",
    "SplitAnswer",
    "SplitRequest",
    "VersionAnswer",
    "VersionsAnswer",
]


class RollbackRequest(Frozen):
    reason: Reason | None = None
    expected_production: VersionName | None = None
    """Refuse unless this version (``null``: none) is in production; not checked when left out."""

    @property
    def expected(self) -> str | None:
        return self.expected_production if "expected_production" in self.model_fields_set else ANY


class PromoteRequest(RollbackRequest):
    stage: Literal["production", "staging"] = "production"
    """``staging`` takes an archived version back."""


class ArchiveRequest(Frozen):
    reason: Reason | None = None


class SplitRequest(Frozen):
    split: Annotated[dict[VersionName, float], Field(min_length=1, max_length=MAX_SPLIT)]
    reason: Reason | None = None


class ModelAnswer(Record):
    """A model."""

    name: Name
    latest_version: VersionName | None
    production_version: VersionName | None
    ab_split: dict[VersionName, float] | None
    history: tuple[VersionName, ...]
    """Former production versions that rollback returns to, the latest last."""
    require: dict[str, Gate]
    revision: int
    description: str
    tags: dict[str, str]
    created_at: AwareDatetime
    updated_at: AwareDatetime

    @classmethod
    def of(cls, model: ModelRecord) -> ModelAnswer:
        return cls.model_validate(model.model_dump())


class ModelsAnswer(Record):
    models: list[ModelAnswer]
    next_token: str | None

    @classmethod
    def of(cls, page: Listing[ModelRecord]) -> ModelsAnswer:
        return cls(models=[ModelAnswer.of(m) for m in page.records], next_token=page.next_token)


class SplitAnswer(Record):
    """How traffic is shared; ``split`` is null when all goes to the production version."""

    model: Name
    split: dict[VersionName, float] | None
    production_version: VersionName | None

    @classmethod
    def of(cls, model: ModelRecord) -> SplitAnswer:
        return cls(
            model=model.name, split=model.ab_split, production_version=model.production_version
        )


class UploadAnswer(Record):
    """Send the artifact: this method, this address, exactly these headers, the bytes as body."""

    method: str
    url: str
    headers: dict[str, str]
    expires_at: AwareDatetime


class VersionAnswer(Record):
    """A version; ``upload`` is there while its artifact is awaited."""

    model: Name
    version: VersionName
    status: VersionStatus
    stage: Stage
    reason: str | None
    format: Format
    digest: Digest
    size: int
    features: list[str]
    inputs: tuple[FeatureRef, ...]
    """The features with their dtypes and defaults."""
    feature_views: dict[Name, int]
    """Schema version of each view when the version was registered."""
    missing: MissingPolicy
    signature: Signature | None
    check: Checked | None
    """What its check found; null for a version registered without one."""
    profile: Digest | None
    metrics: dict[str, float]
    params: dict[str, Any]
    lineage: dict[str, Any]
    description: str
    tags: dict[str, str]
    created_at: AwareDatetime
    created_by: str
    upload: UploadAnswer | None = None

    @classmethod
    def of(cls, version: VersionRecord) -> VersionAnswer:
        views = {name: held.schema_version for name, held in version.feature_views.items()}
        return cls.model_validate(
            {
                **version.model_dump(exclude={"features", "feature_views"}),
                "features": [ref.label for ref in version.features],
                "inputs": version.features,
                "feature_views": views,
            }
        )

    @classmethod
    def of_registered(cls, registered: Registered) -> VersionAnswer:
        answer, upload = cls.of(registered.version), registered.upload
        if upload is None or registered.version.upload_expires_at is None:
            return answer
        told = UploadAnswer(
            method=upload.method,
            url=upload.url,
            headers=dict(upload.headers),
            expires_at=registered.version.upload_expires_at,
        )
        return answer.model_copy(update={"upload": told})


class VersionsAnswer(Record):
    model: Name
    versions: list[VersionAnswer]
    next_token: str | None

    @classmethod
    def of(cls, model: str, page: Listing[VersionRecord]) -> VersionsAnswer:
        versions = [VersionAnswer.of(v) for v in page.records]
        return cls(model=model, versions=versions, next_token=page.next_token)
