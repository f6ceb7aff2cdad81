"""What a caller sends to register a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic import StringConstraints as Text

from neuralstream_core.features.listing import MAX_LISTED
from neuralstream_core.features.references import MAX_REFERENCE
from neuralstream_core.registry.lineage import Lineage
from neuralstream_core.registry.listed import ListedFeatures
from neuralstream_core.registry.records import Digest, FeatureRef, Format, Kind, MissingPolicy
from neuralstream_core.types import (
    Bounded,
    Description,
    FeatureValue,
    Frozen,
    Name,
    PredictionValue,
    Record,
    SchemaOf,
    Tags,
)

__all__ = [
    "MAX_INLINE",
    "Asked",
    "Baseline",
    "Check",
    "Declared",
    "Expected",
    "Registration",
    "UploadSpec",
    "samples_of",
]

MAX_INLINE: Final = 4 * 1024 * 1024
"""Bytes an artifact may have inside a request (Lambda's payload limit leaves no more); larger ones are
uploaded."""
MAX_CHECK: Final = 1000
"""Rows of a check."""
_SAMPLES: Final = 24
"""Values of each feature: enough to meet both sides of most thresholds."""


FeatureName = Annotated[str, Text(min_length=1, max_length=MAX_REFERENCE)]


class UploadSpec(Frozen):
    """An artifact that will be uploaded."""

    sha256: Digest = Field(description="of the artifact, hexadecimal in lower case")
    size: Annotated[int, Field(ge=1)] = Field(description="bytes, at most 256 MiB")


class Histogram(Record):
    """A column as counts, for a baseline whose values cannot be sent; either ``edges`` or ``categories``."""

    edges: list[float] | None = Field(
        default=None,
        description="rising bounds of the bins of numbers, one more than `counts`; a bin holds its"
        " upper bound",
    )
    counts: list[int] | None = Field(default=None, description="how many values fell into each bin")
    categories: dict[str, int] | None = Field(
        default=None, description="how often each text occurred"
    )
    missing: int = Field(default=0, description="how many values were missing")


Column = Annotated[
    list[FeatureValue] | Annotated[dict[str, Any], SchemaOf(Histogram)],
    Field(description="the values, null where one was missing; or a histogram of them"),
]


class Baseline(Frozen):
    """Reference data for drift: the values themselves (or histograms), or where they are."""

    columns: dict[Annotated[str, Text(max_length=MAX_REFERENCE)], Column] | None = Field(
        default=None,
        description="values of the training data by `view:feature`, `view@role:feature`, `request:name` or"
        " bare name; at most 500 columns",
    )
    prediction: Column | None = Field(
        default=None, description="what the model answered to rows like these"
    )
    probability: Column | None = Field(
        default=None, description="a classifier's probabilities for rows like these"
    )
    reference: Annotated[str, Text(pattern=r"^s3://[^/]+/.+$", max_length=1100)] | None = Field(
        default=None,
        description="in place of columns: `s3://bucket/key` in the stack's own data bucket of a .json with"
        " these fields, or of a table as .csv or .jsonl, each optionally gzipped",
    )
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
        if self.columns is not None and len(self.columns) > MAX_LISTED:
            raise ValueError(f"at most {MAX_LISTED} columns")
        return self


MetricName = Annotated[str, Text(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./@-]{0,127}$")]
ClassLabel = Annotated[str, Text(max_length=512), Bounded] | int | bool


class Declared(Frozen):
    """What a caller says about a model that its file does not tell."""

    kind: Kind | None = Field(
        default=None,
        description="the family of the model; inferred from the artifact where that is possible",
    )
    classes: Annotated[tuple[ClassLabel, ...], Field(min_length=2, max_length=10_000)] | None = (
        Field(
            default=None,
            description="labels of a classifier, in the order in which the model gives its scores",
        )
    )
    outputs: Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000)] | None = Field(
        default=None,
        description="names of the values of one prediction, for a model that gives several",
    )
    scores: Literal["probability", "logits", "score"] | None = Field(
        default=None,
        description="what the numbers beside or in place of the labels are; `logits` become "
        "probabilities by a softmax (of one number: a sigmoid)",
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for field in ("classes", "outputs"):
            given = getattr(self, field)
            if given is not None and len(set(given)) < len(given):
                raise ValueError(f"{field} are not distinct")
        return self


class Expected(Frozen):
    """What a model must answer to the rows of a check, one entry per row."""

    prediction: Annotated[list[PredictionValue], Field(min_length=1, max_length=MAX_CHECK)] = Field(
        description="labels, numbers, or lists of a model with several outputs"
    )
    probability: (
        Annotated[list[float | list[float]], Field(min_length=1, max_length=MAX_CHECK)] | None
    ) = Field(
        default=None,
        description="as predictions answer it (binary: of the positive class, otherwise of the "
        "predicted one), or a list by class",
    )
    score: (
        Annotated[list[float | list[float]], Field(min_length=1, max_length=MAX_CHECK)] | None
    ) = Field(default=None, description="as predictions answer it, or a list by class or cluster")


class Check(Frozen):
    """Rows and the answers that the stored artifact must reproduce before its version is READY."""

    inputs: (
        Annotated[list[dict[FeatureName, FeatureValue]], Field(min_length=1, max_length=MAX_CHECK)]
        | Annotated[
            dict[FeatureName, list[FeatureValue]], Field(min_length=1, max_length=MAX_LISTED)
        ]
    ) = Field(
        description="rows as objects by feature (`view:feature`, `view@role:feature` or its bare name), or "
        "columns; "
        "`null` is a missing value, which the version's policy fills"
    )
    expected: Expected = Field(description="what the model answered where it was trained")
    tolerance: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        default=1e-3,
        description="largest difference allowed: absolute for probabilities, relative to "
        "max(1, |expected|) for other numbers; labels must be equal except in a tie of the scores",
    )

    @model_validator(mode="after")
    def _rows_agree(self) -> Self:
        n = len(self.expected.prediction)
        columns: dict[str, list[Any] | None] = {
            "expected.probability": self.expected.probability,
            "expected.score": self.expected.score,
        }
        if isinstance(self.inputs, list):
            columns["inputs"] = self.inputs
        else:
            columns |= {f"inputs.{name}": column for name, column in self.inputs.items()}
        for name, column in columns.items():
            if column is not None and len(column) != n:
                raise ValueError(f"{name} has {len(column)} rows, expected.prediction {n}")
        return self

    @property
    def rows(self) -> int:
        return len(self.expected.prediction)


class Asked(Record):
    """What is to be settled and proven about a version before it is READY.

    Attributes:
        samples: values by feature label, from the baseline, to try the model on.
    """

    declared: Declared = Field(default_factory=Declared)
    check: Check | None = None
    samples: dict[str, list[Any]] = Field(default_factory=dict)


class Registration(Declared):
    """The body of ``POST /models/{name}/versions``."""

    format: Format = Field(description="how the artifact is encoded; never one that executes code")
    artifact_base64: Annotated[str, Field(max_length=MAX_INLINE * 4 // 3 + 4)] | None = Field(
        default=None, description="the artifact itself, at most 4 MiB before base64"
    )
    artifact: UploadSpec | None = Field(
        default=None,
        description="in place of artifact_base64: the answer says where to upload the artifact",
    )
    features: ListedFeatures = Field(
        default_factory=list,
        description="the model's inputs in its order: `view:feature`, `view@role:feature` for one of"
        " several entities, `request:name` for a value sent with the request, `service:name@2` for those"
        " of a feature service; or one text, such as a service. At most 500. Left out: only the V2"
        " protocol serves the version",
    )
    missing: MissingPolicy = Field(
        default=MissingPolicy.ERROR,
        description="a row with a missing cell is refused (`error`), or the model gets NaN or an empty"
        " text (`null`) or the declared default (`default`)",
    )
    metrics: Annotated[dict[MetricName, float], Field(max_length=200)] = Field(
        default_factory=dict, description="by name, at most 200; gates of the model compare them"
    )
    params: Annotated[dict[str, Any], Bounded] = Field(
        default_factory=dict,
        description="training parameters, any JSON of at most 16 KiB; kept as it is",
    )
    lineage: Annotated[Lineage, Bounded] = Field(
        default_factory=Lineage, description="what it was made from, at most 16 KiB as JSON"
    )
    baseline: Baseline | None = Field(
        default=None, description="training data that later traffic is compared with"
    )
    check: Check | None = Field(
        default=None, description="rows whose answers the stored artifact must reproduce"
    )
    description: Annotated[Description, Bounded] = Field(
        default="", description="for people, at most 2048 characters"
    )
    tags: Annotated[Tags, Bounded] = Field(
        default_factory=dict, description="text by key, at most 50"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.artifact_base64 is None) == (self.artifact is None):
            raise ValueError("give either artifact_base64 or artifact")
        names = [spec.feature for spec in self.features]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"a feature is listed twice: {twice}")
        if not names and "features" in self.model_fields_set:
            raise ValueError(
                "features is empty: list the model's inputs in its order, or leave the field out "
                "for a model that only the V2 inference route serves"
            )
        if not names and self.check is not None:
            raise ValueError("a check names its inputs by feature; list features")
        return self

    @property
    def proof(self) -> Asked:
        """What registration has to settle and prove."""
        declared = Declared(
            kind=self.kind, classes=self.classes, outputs=self.outputs, scores=self.scores
        )
        return Asked(declared=declared, check=self.check)


def samples_of(baseline: Baseline, features: Sequence[FeatureRef]) -> dict[str, list[Any]]:
    """Values by feature label: quantiles of numbers and histograms, the first distinct texts.

    Features without a column, and columns without values, are left out.
    """
    columns = baseline.columns or {}
    found: dict[str, list[Any]] = {}
    for ref in features:
        given = columns.get(ref.label, columns.get(ref.feature))
        values = _of_histogram(given) if isinstance(given, Mapping) else _of_column(given or ())
        if ref.dtype in ("int64", "timestamp"):
            values = [round(v) if isinstance(v, float) else v for v in values]
        if values:
            found[ref.label] = values
    return found


def _of_column(column: Sequence[Any]) -> list[Any]:
    values = [value for value in column if value is not None]
    if all(isinstance(value, int | float) for value in values):
        return _spread(sorted(values))
    return _spread(values)


def _of_histogram(histogram: Mapping[str, Any]) -> list[Any]:
    edges, categories = histogram.get("edges"), histogram.get("categories")
    if isinstance(edges, list) and all(isinstance(edge, int | float) for edge in edges):
        return _spread([float(edge) for edge in edges])
    return _spread(list(categories)) if isinstance(categories, Mapping) else []


def _spread(values: list[Any]) -> list[Any]:
    """At most `_SAMPLES` of the values, evenly spaced, the first and the last among them."""
    if len(values) <= _SAMPLES:
        return values
    last = len(values) - 1
    return [values[round(at * last / (_SAMPLES - 1))] for at in range(_SAMPLES)]
