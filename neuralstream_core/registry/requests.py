"""What a caller sends to the registry, typed and bounded."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic import StringConstraints as Text

from neuralstream_core.registry.records import Digest, Format, MissingPolicy
from neuralstream_core.types import MAX_NAME, Description, Frozen, Tags

__all__ = [
    "MAX_FEATURES",
    "MAX_INLINE",
    "Baseline",
    "Code",
    "Dataset",
    "FeatureSpec",
    "GateSpec",
    "Lineage",
    "ModelEdit",
    "Reason",
    "Registration",
    "UploadSpec",
    "VersionEdit",
]

MAX_INLINE: Final = 4 * 1024 * 1024
"""Bytes an artifact may have inside a request (Lambda's payload limit leaves no more); larger ones are
uploaded."""
MAX_FEATURES: Final = 500
MAX_OPAQUE: Final = 16 * 1024
"""Bytes of JSON that params, metrics or lineage may have, each."""

_DTYPES: Final = ("float32", "float64", "int64", "bool", "string", "timestamp")


def _bounded(value: Any) -> Any:
    try:
        size = len(json.dumps(value, allow_nan=False, default=str).encode())
    except (ValueError, RecursionError):
        raise ValueError("must be JSON with finite numbers and whole characters") from None
    if size > MAX_OPAQUE:
        raise ValueError(f"has {size} bytes as JSON, at most {MAX_OPAQUE} are allowed")
    return value


def _bounded_model(value: BaseModel) -> BaseModel:
    _bounded(value.model_dump(mode="json"))
    return value


Reason = Annotated[str, Text(max_length=1024), AfterValidator(_bounded)]
ShortText = Annotated[str, Text(min_length=1, max_length=512), AfterValidator(_bounded)]
Bounded = AfterValidator(_bounded)
ParentRef = Annotated[str, Text(pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]{0,127}@)?v[1-9][0-9]{0,8}$")]


class UploadSpec(Frozen):
    """An artifact that will be uploaded."""

    sha256: Digest
    size: Annotated[int, Field(ge=1)]


class FeatureSpec(Frozen):
    """One model input; a plain ``"view:feature"`` means this with nothing else set."""

    feature: Annotated[
        str,
        Text(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}:[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"),
        Field(description="`view:feature`, or `request:name` for a value sent with the request"),
    ]
    default: Annotated[Any, Bounded] = None
    """Fed to the model under ``missing="default"``; the view's own default unless given."""
    dtype: str | None = None
    """Of a request-time value; a view's features have theirs."""
    size: Annotated[int, Field(ge=1, le=4096)] | None = None

    @model_validator(mode="after")
    def _request_only(self) -> Self:
        if self.dtype is not None and self.dtype not in _DTYPES:
            raise ValueError(f"dtype is one of {', '.join(_DTYPES)}")
        if self.parts[0] is not None and (self.dtype is not None or self.size is not None):
            raise ValueError(
                "dtype and size come from the view; they may only be set for request:…"
            )
        return self

    @property
    def parts(self) -> tuple[str | None, str]:
        """View (``None`` for a request-time value) and feature."""
        view, _, feature = self.feature.partition(":")
        return (None if view == "request" else view), feature


def _spec(value: Any) -> Any:
    return {"feature": value} if isinstance(value, str) else value


class Dataset(Frozen):
    """Training data."""

    name: ShortText
    digest: ShortText | None = None
    uri: ShortText | None = None
    start: AwareDatetime | None = None
    end: AwareDatetime | None = None


class Code(Frozen):
    """Training code, as far as it is known."""

    repo: ShortText | None = None
    commit: ShortText | None = None
    path: ShortText | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.repo is None and self.commit is None and self.path is None:
            raise ValueError("give repo, commit or path")
        return self


class Lineage(Frozen):
    """What a version was made from. Further fields are kept as they are."""

    model_config = ConfigDict(extra="allow")

    dataset: Dataset | Annotated[list[Dataset], Field(min_length=1, max_length=50)] | None = None
    code: Code | None = None
    run_id: ShortText | None = None
    parents: Annotated[list[ParentRef], Field(max_length=20)] = Field(default_factory=list)
    """Versions this one was derived from: ``v1`` of the same model or ``other@v3``."""

    @property
    def datasets(self) -> list[Dataset]:
        if self.dataset is None:
            return []
        return [self.dataset] if isinstance(self.dataset, Dataset) else list(self.dataset)


Column = list[Any] | dict[str, Any]


class Baseline(Frozen):
    """Reference data for drift: the values themselves (or histograms), or where they are."""

    columns: dict[Annotated[str, Text(max_length=2 * MAX_NAME + 1)], Column] | None = None
    prediction: Column | None = None
    probability: Column | None = None
    reference: Annotated[str, Text(pattern=r"^s3://[^/]+/.+$", max_length=1100)] | None = None
    production_rows: Annotated[int, Field(ge=200, le=10_000)] | None = Field(
        default=None,
        description="adopt the next so many rows that the version answers; only for a version "
        "that has no baseline",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        sources = (self.columns, self.reference, self.production_rows)
        if sum(source is not None for source in sources) != 1:
            raise ValueError("give either columns or reference")
        if self.columns is None and (self.prediction or self.probability):
            raise ValueError("a reference holds its predictions itself")
        if self.columns is not None and len(self.columns) > MAX_FEATURES:
            raise ValueError(f"at most {MAX_FEATURES} columns")
        return self


MetricName = Annotated[str, Text(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./@-]{0,127}$")]


class Registration(Frozen):
    """The body of ``POST /models/{name}/versions``."""

    format: Format
    artifact_base64: Annotated[str, Field(max_length=MAX_INLINE * 4 // 3 + 4)] | None = None
    artifact: UploadSpec | None = None
    features: Annotated[
        list[
            Annotated[FeatureSpec, BeforeValidator(_spec, json_schema_input_type=str | FeatureSpec)]
        ],
        Field(max_length=MAX_FEATURES),
    ] = Field(default_factory=list)
    missing: MissingPolicy = MissingPolicy.ERROR
    metrics: Annotated[dict[MetricName, float], Field(max_length=200)] = Field(default_factory=dict)
    params: Annotated[dict[str, Any], Bounded] = Field(default_factory=dict)
    lineage: Annotated[Lineage, AfterValidator(_bounded_model)] = Field(default_factory=Lineage)
    baseline: Baseline | None = None
    description: Annotated[Description, Bounded] = ""
    tags: Annotated[Tags, Bounded] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.artifact_base64 is None) == (self.artifact is None):
            raise ValueError("give either artifact_base64 or artifact")
        names = [spec.feature for spec in self.features]
        if len(set(names)) < len(names):
            raise ValueError("a feature is listed twice")
        return self


class GateSpec(Frozen):
    """Bounds of a metric, both inclusive; at least one."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is greater than max")
        return self


class _Edit(Frozen):
    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.changes():
            raise ValueError("nothing to change")
        return self

    def changes(self) -> dict[str, Any]:
        """The fields to set, as a record takes them."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class ModelEdit(_Edit):
    """The body of ``PATCH /models/{name}``; what is left out stays."""

    description: Annotated[Description, Bounded] | None = None
    tags: Annotated[Tags, Bounded] | None = None
    require: (
        Annotated[
            dict[Annotated[str, Text(pattern=r"^metrics\.[A-Za-z0-9_./@-]{1,128}$")], GateSpec],
            Field(max_length=50),
        ]
        | None
    ) = None


class VersionEdit(_Edit):
    """The body of ``PATCH /models/{name}/versions/{version}``; what is left out stays."""

    description: Annotated[Description, Bounded] | None = None
    tags: Annotated[Tags, Bounded] | None = None
