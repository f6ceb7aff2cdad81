"""What the registry's routes answer."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from neuralstream_core.registry.lineage import Lineage
from neuralstream_core.registry.pages import Listing
from neuralstream_core.registry.records import (
    Checked,
    Digest,
    FeatureRef,
    Format,
    Gate,
    MissingPolicy,
    ModelRecord,
    PredictionLog,
    Signature,
    Stage,
    VersionRecord,
    VersionStatus,
)
from neuralstream_core.registry.rollout import Findings, Guard, Ramp, Shadow
from neuralstream_core.types import NEXT_PAGE, Name, Record, SchemaOf, VersionName
from neuralstream_core.uploads import Upload

__all__ = [
    "GuardAnswer",
    "ModelAnswer",
    "ModelsAnswer",
    "ShadowAnswer",
    "SplitAnswer",
    "VersionAnswer",
    "VersionsAnswer",
]


class ModelAnswer(Record):
    """A model."""

    name: Name
    latest_version: VersionName | None = Field(description="the one registered last")
    production_version: VersionName | None = Field(
        description="the one that answers without a split; null: the model does not serve yet"
    )
    ab_split: dict[VersionName, float] | None = Field(
        description="share of the traffic by version, together 1; null: production gets all"
    )
    history: tuple[VersionName, ...] = Field(
        description="former production versions that rollback returns to, the latest last; at most 50"
    )
    require: dict[str, Gate] = Field(
        description="bounds by metric (`metrics.auc`) that a version must keep to be promoted"
    )
    shadow: Shadow | None = Field(
        default=None, description="the version that sees the traffic and never answers; null: none"
    )
    guard: Guard | None = Field(
        default=None, description="bounds on the versions that take traffic; null: none"
    )
    ramp: Ramp | None = Field(
        default=None, description="the ramp that the split belongs to; null: none is running"
    )
    log: PredictionLog = Field(
        description="which predictions are kept for the outcomes that come later"
    )
    revision: int = Field(description="number of its last event; raised by every change")
    description: str = Field(description="for people")
    tags: dict[str, str] = Field(description="text by key")
    created_at: AwareDatetime = Field(description="UTC")
    updated_at: AwareDatetime = Field(description="UTC")

    @classmethod
    def of(cls, model: ModelRecord) -> ModelAnswer:
        return cls.model_validate(model.model_dump())


class ModelsAnswer(Record):
    """One page of models."""

    models: list[ModelAnswer] = Field(description="by name")
    next_token: str | None = Field(description=NEXT_PAGE)

    @classmethod
    def of(cls, page: Listing[ModelRecord]) -> ModelsAnswer:
        return cls(models=[ModelAnswer.of(m) for m in page.records], next_token=page.next_token)


class SplitAnswer(Record):
    """How traffic is shared; ``split`` is null when all goes to the production version."""

    model: Name
    split: dict[VersionName, float] | None = Field(
        description="share of the traffic by version, together 1; null: production gets all"
    )
    production_version: VersionName | None = Field(
        description="the one that answers without a split; null: there is none"
    )
    ramp: Ramp | None = Field(
        default=None, description="the ramp that the split belongs to; null: none is running"
    )
    next_step_at: AwareDatetime | None = Field(
        default=None,
        description="when the ramp goes on if its guard holds, UTC; null: no step is to come",
    )

    @classmethod
    def of(cls, model: ModelRecord) -> SplitAnswer:
        return cls(
            model=model.name,
            split=model.ab_split,
            production_version=model.production_version,
            ramp=model.ramp,
            next_step_at=None if model.ramp is None else model.ramp.next_at,
        )


class ShadowAnswer(Record):
    """The version that sees a model's traffic and never answers."""

    model: Name
    shadow: Shadow | None = Field(description="null: there is none")

    @classmethod
    def of(cls, model: ModelRecord) -> ShadowAnswer:
        return cls(model=model.name, shadow=model.shadow)


class GuardAnswer(Record):
    """The bounds on the versions of a model that take traffic."""

    model: Name
    guard: Guard | None = Field(description="null: there is none")
    evaluated: Findings | None = Field(
        default=None, description="what the last evaluation found; null: there was none yet"
    )

    @classmethod
    def of(cls, model: ModelRecord, evaluated: Findings | None = None) -> GuardAnswer:
        """Of an evaluation before the guard was set nothing is told."""
        guard = model.guard
        if guard is None or (evaluated is not None and evaluated.at < guard.since):
            evaluated = None
        return cls(model=model.name, guard=guard, evaluated=evaluated)


class UploadAnswer(Upload):
    """Send the artifact: this method, this address, exactly these headers, the bytes as body."""

    expires_at: AwareDatetime = Field(
        description="until when the artifact is awaited, UTC; later the version is REJECTED"
    )


class VersionAnswer(Record):
    """A version; ``upload`` is there while its artifact is awaited."""

    model: Name
    version: VersionName = Field(description="`v` and its number; numbers are never used again")
    status: VersionStatus = Field(description="whether it can serve")
    stage: Stage = Field(description="staging at first; moved by promote, rollback and archive")
    reason: str | None = Field(description="why it was REJECTED; null otherwise")
    format: Format = Field(description="how the artifact is encoded")
    digest: Digest = Field(description="SHA-256 of the artifact, hexadecimal")
    size: int = Field(description="bytes of the artifact")
    features: list[str] = Field(
        description="`view:feature`, `view@role:feature` or `request:name`, in the order of the model's input"
    )
    inputs: tuple[FeatureRef, ...] = Field(
        description="the features with their dtypes and defaults"
    )
    feature_views: dict[Name, int] = Field(
        description="schema version of each view when the version was registered"
    )
    feature_services: tuple[str, ...] = Field(
        default=(),
        description="the feature services that its features were named by, each as `name@2`",
    )
    missing: MissingPolicy = Field(description="what happens to a row with a missing cell")
    signature: Signature | None = Field(
        description="what the loaded model takes and gives; null until it is validated"
    )
    check: Checked | None = Field(
        description="what its check found; null for a version registered without one"
    )
    profile: Digest | None = Field(
        description="SHA-256 of the bins made from its baseline; null: drift has no reference"
    )
    metrics: dict[str, float] = Field(description="by name, as registered; gates compare them")
    params: dict[str, Any] = Field(description="training parameters, kept as the caller sent them")
    lineage: Annotated[dict[str, Any], SchemaOf(Lineage)] = Field(
        description="what it was made from, as registered"
    )
    description: str = Field(description="for people")
    tags: dict[str, str] = Field(description="text by key")
    created_at: AwareDatetime = Field(description="when it was registered, UTC")
    created_by: str = Field(description="principal of the API key")
    upload: UploadAnswer | None = Field(
        default=None, description="how to send the artifact; only in the answer to its registration"
    )

    @classmethod
    def of(cls, version: VersionRecord, upload: Upload | None = None) -> VersionAnswer:
        """The answer for a version; ``upload`` is how its artifact is awaited."""
        views = {name: held.schema_version for name, held in version.feature_views.items()}
        awaited = upload and {**upload.model_dump(), "expires_at": version.upload_expires_at}
        return cls.model_validate(
            {
                **version.model_dump(exclude={"features", "feature_views"}),
                "features": [ref.label for ref in version.features],
                "inputs": version.features,
                "feature_views": views,
                "upload": awaited,
            }
        )


class VersionsAnswer(Record):
    """One page of versions."""

    model: Name
    versions: list[VersionAnswer] = Field(description="the newest first")
    next_token: str | None = Field(description=NEXT_PAGE)

    @classmethod
    def of(cls, model: str, page: Listing[VersionRecord]) -> VersionsAnswer:
        versions = [VersionAnswer.of(v) for v in page.records]
        return cls(model=model, versions=versions, next_token=page.next_token)
