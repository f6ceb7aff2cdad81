"""What the registry stores and answers: models, versions, their parts. Pure data, no behaviour."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from neuralstream_core.types import Description, Name, Record, Tags, VersionName

__all__ = [
    "Digest",
    "FeatureRef",
    "Format",
    "MissingPolicy",
    "ModelRecord",
    "Signature",
    "Stage",
    "Status",
    "Tensor",
    "VersionRecord",
]

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""Lower-case hexadecimal SHA-256."""


class Format(StrEnum):
    """How an artifact is encoded; never a format that executes code."""

    ONNX = "onnx"
    LINEAR = "linear"
    """A linear model as plain arrays in an ``.npz`` (no pickled objects)."""


class Stage(StrEnum):
    STAGING = "staging"
    PRODUCTION = "production"
    ARCHIVED = "archived"


class Status(StrEnum):
    PENDING_UPLOAD = "PENDING_UPLOAD"
    READY = "READY"
    REJECTED = "REJECTED"


class MissingPolicy(StrEnum):
    """What a model input gets when its feature is NULL, EXPIRED or NOT_FOUND."""

    ERROR = "error"
    NULL = "null"
    DEFAULT = "default"


class FeatureRef(Record):
    """One model input: ``view:feature``, or a request-time value ``request:name`` without a view.

    ``dtype`` and ``size`` (elements of a vector; 1 for a scalar) are those of the view's schema
    when the version was registered.
    """

    view: Name | None
    feature: Name
    dtype: str = "float64"
    size: int = 1
    default: Any = None

    @property
    def label(self) -> str:
        """``view:feature`` or ``request:name``."""
        return f"{self.view or 'request'}:{self.feature}"


class Tensor(Record):
    """A named input or output; ``shape`` has ``-1`` where the size is free (the batch axis)."""

    name: str
    datatype: str = Field(
        description="an Open Inference Protocol type: FP32, INT64, BOOL, BYTES, …"
    )
    shape: tuple[int, ...]


class Signature(Record):
    """What the loaded model takes and gives, recorded when it was validated."""

    kind: Literal["classifier", "regressor"]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    classes: tuple[str | int | bool, ...] | None = None


class VersionRecord(Record):
    """One immutable version of a model (only stage, description and tags ever change)."""

    model: Name
    version: VersionName
    status: Status
    stage: Stage
    format: Format
    digest: Digest
    size: int
    features: tuple[FeatureRef, ...] = ()
    missing: MissingPolicy = MissingPolicy.ERROR
    signature: Signature | None = None
    reason: str | None = None
    profile: Digest | None = None
    """Digest of the stored monitoring profile (bins of every series), if the version has a baseline."""
    metrics: dict[str, float] = Field(default_factory=dict)
    params: dict[str, Any] = Field(default_factory=dict)
    lineage: dict[str, Any] = Field(default_factory=dict)
    description: Description = ""
    tags: Tags = Field(default_factory=dict)
    created_at: AwareDatetime
    created_by: str


class ModelRecord(Record):
    """A model: which version serves, and how traffic is split."""

    name: Name
    latest_version: VersionName | None = None
    production_version: VersionName | None = None
    ab_split: dict[VersionName, float] | None = None
    salt: str
    """Mixed into the bucket hash, so that two models split entities independently."""
    revision: int = 0
    description: Description = ""
    tags: Tags = Field(default_factory=dict)
    created_at: AwareDatetime
    updated_at: AwareDatetime
