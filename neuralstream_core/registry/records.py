"""What the registry stores: models, versions and events, as records and as items of the one table.

=====================  ======================  ==================================================
PK                     SK                      what
=====================  ======================  ==================================================
``MODEL#{ns}#{name}``  ``META``                the model: production version, split, history,
                                               gates, ``revision`` (number of its last event);
                                               ``GSI1PK=MODELS#{ns}``, ``GSI1SK={name}``
same                   ``VERSION#{9 digits}``  a version
same                   ``EVENT#{12 digits}``   an audit event, by revision, dense from 1
same                   ``FINDINGS``            what the last evaluation of its guard found
same                   ``KEY#{sha256}``        a used idempotency key → its event; DynamoDB
                                               deletes it after ``expires_at`` (epoch seconds)
``VIEW#{ns}#{view}``   ``META``                owned by the feature catalog; see ``views``
=====================  ======================  ==================================================

Parts that a caller shapes freely (params, lineage, features, …) are stored as one JSON text, since DynamoDB
turns 1.0 into 1 and refuses 1e300 and nesting deeper than 32.
"""

from __future__ import annotations

import json
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

from pydantic import AwareDatetime, Field, StringConstraints

from neuralstream_core.features.references import FeatureReference
from neuralstream_core.registry.rollout import Guard, Ramp, Shadow
from neuralstream_core.table import Item
from neuralstream_core.types import Description, FeatureValue, Name, Record, Tags, VersionName

__all__ = [
    "EVENT",
    "META",
    "VERSION",
    "Checked",
    "Digest",
    "FeatureRef",
    "Footprint",
    "Format",
    "Gate",
    "HeldView",
    "Kind",
    "Label",
    "MissingPolicy",
    "ModelRecord",
    "PredictionLog",
    "RecordT",
    "Scores",
    "Signature",
    "Stage",
    "Tensor",
    "VersionRecord",
    "VersionStatus",
    "number_of",
]

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""Lower-case hexadecimal SHA-256."""


class Format(StrEnum):
    """How an artifact is encoded; never a format that executes code."""

    ONNX = "onnx"
    LINEAR = "linear"
    """A linear model as plain arrays in an ``.npz`` (no pickled objects)."""


class Stage(StrEnum):
    """Of a version; a model has at most one in production."""

    STAGING = "staging"
    PRODUCTION = "production"
    ARCHIVED = "archived"


class VersionStatus(StrEnum):
    """Whether a version can serve: only one that is READY does."""

    PENDING_UPLOAD = "PENDING_UPLOAD"
    READY = "READY"
    REJECTED = "REJECTED"


class MissingPolicy(StrEnum):
    """What a model input gets when its feature is NULL, EXPIRED or NOT_FOUND."""

    ERROR = "error"
    NULL = "null"
    DEFAULT = "default"


class FeatureRef(Record):
    """One model input: ``view:feature``, ``view@role:feature``, or a request-time value ``request:name``
    without a view.

    ``dtype`` and ``size`` (elements of a vector; 1 for a scalar) are those of the view's schema
    when the version was registered.
    """

    view: Name | None = Field(description="null: the value comes with each request")
    feature: Name = Field(description="name of the feature or of the request's value")
    role: Name | None = Field(
        default=None,
        description="whose value it is when a request has several entities; null: the view's own entity",
    )
    dtype: str = Field(default="float64", description="type of its values")
    size: int = Field(default=1, description="elements of a vector; 1: one value")
    default: FeatureValue = Field(
        default=None, description="what the model gets for a missing cell under `missing: default`"
    )

    @property
    def label(self) -> str:
        """``view:feature``, ``view@role:feature`` or ``request:name``."""
        return FeatureReference(self.view, self.feature, self.role).text


class HeldView(Record):
    """A feature view as a version found it; another ``generation`` is another view of the same name."""

    schema_version: int
    generation: str


class Tensor(Record):
    """A named input or output; ``shape`` has ``-1`` where the size is free (the batch axis)."""

    name: str = Field(description="as in the artifact")
    datatype: str = Field(
        description="an Open Inference Protocol type: FP32, INT64, BOOL, BYTES, …"
    )
    shape: tuple[int, ...] = Field(description="sizes of its axes; -1: of any size")


Kind: TypeAlias = Literal["classifier", "regressor", "anomaly", "clusterer", "embedding"]
"""The family of a model, which decides what its answer consists of."""

Scores: TypeAlias = Literal["probability", "logits", "score", "ignored"]
"""What the numbers are that a model gives beside its labels, or in their place.

``probability``: each row sums to 1, or one number in [0, 1]. ``logits``: a softmax (of one number: a
sigmoid) makes them probabilities. ``score``: anything else that orders the classes or clusters, or tells
how normal a row is. ``ignored``: numbers that cannot be assigned to the classes; not answered.
"""

Label: TypeAlias = str | int | bool

RecordT = TypeVar("RecordT", bound=Record)


class Footprint(Record):
    """What loading and running a model took when it was validated, in a process of its own.

    ``loaded`` and ``run`` are bytes: kept once it is loaded, and on top of that at the height of a run
    on the sample rows. ``load_seconds`` is processor time.
    """

    loaded: int = Field(description="bytes kept once it is loaded")
    run: int = Field(description="further bytes at the height of a run on the sample rows")
    load_seconds: float = Field(description="seconds of processor time")


class Signature(Record):
    """What the loaded model takes and gives, recorded when it was validated."""

    kind: Kind = Field(description="the family of the model, which decides what is answered")
    inputs: tuple[Tensor, ...] = Field(description="what the model takes")
    outputs: tuple[Tensor, ...] = Field(description="what the model gives")
    classes: tuple[Label, ...] | None = Field(
        default=None, description="labels of a classifier or clusters, in the order of the scores"
    )
    scores: Scores | None = Field(
        default=None, description="what the numbers beside or in place of the labels are"
    )
    names: tuple[str, ...] = Field(
        default=(), description="of the values of one prediction, when it consists of several"
    )
    footprint: Footprint | None = Field(
        default=None,
        description="memory and time that it took; null for a version validated before this was measured",
    )
    zipmap_inputs: dict[str, str] | None = Field(
        default=None,
        description="of an ONNX classifier: each output made by ZipMap, and the tensor it is made of; "
        "null for other formats and for a version validated before this was recorded",
    )


class Checked(Record):
    """That a version reproduced the caller's own answers before it became READY."""

    rows: int = Field(description="how many were compared")
    tolerance: float = Field(description="largest difference allowed")
    max_difference: float = Field(
        description="largest difference found, in the measure that the tolerance bounds"
    )
    ties: int = Field(
        default=0, description="rows with another label whose scores are equal within the tolerance"
    )
    digest: Digest | None = Field(
        default=None, description="SHA-256 of the stored rows and expected answers"
    )


class VersionRecord(Record):
    """One version of a model.

    What it was made from never changes. Its stage, description, tags and profile may; its status and
    signature are settled once, when its artifact is validated.
    """

    model: Name
    version: VersionName
    status: VersionStatus
    stage: Stage
    format: Format
    digest: Digest
    size: int
    features: tuple[FeatureRef, ...] = ()
    feature_views: dict[Name, HeldView] = Field(default_factory=dict)
    """The views the features come from, as they were when the version was registered."""
    feature_services: tuple[str, ...] = ()
    """The feature services that its features were named by, each as ``name@version``."""
    missing: MissingPolicy = MissingPolicy.ERROR
    signature: Signature | None = None
    reason: str | None = None
    reason_code: str | None = None
    """The stable code that goes with ``reason``; ``artifact_rejected`` unless it says another."""
    check: Checked | None = None
    profile: Digest | None = None
    """Digest of the stored monitoring profile (bins of every series), if the version has a baseline."""
    metrics: dict[str, float] = Field(default_factory=dict)
    params: dict[str, Any] = Field(default_factory=dict)
    lineage: dict[str, Any] = Field(default_factory=dict)
    description: Description = ""
    tags: Tags = Field(default_factory=dict)
    created_at: AwareDatetime
    created_by: str
    upload_expires_at: AwareDatetime | None = None
    """Until when the artifact may be uploaded; an upload not completed by then is REJECTED."""
    upload_key: str | None = None
    """Where in the data bucket the upload is expected."""
    awaits_baseline: bool = False
    """A baseline came with the announcement of the upload."""
    awaits_proof: bool = False
    """Declarations or a check came with the announcement of the upload."""
    retired: bool = False
    """Archived by request: out of rollback's reach, and its feature views may be deleted."""

    @cached_property
    def roles(self) -> tuple[str, ...]:
        """The roles of its features, in the order of their names."""
        return tuple(sorted({ref.role for ref in self.features if ref.role is not None}))


class Gate(Record):
    """Bounds a metric must keep for its version to be promoted to production; both inclusive."""

    min: float | None = Field(default=None, description="least value allowed; null: no lower bound")
    max: float | None = Field(
        default=None, description="greatest value allowed; null: no upper bound"
    )


class PredictionLog(Record):
    """Which predictions of a model are kept, for the outcomes that come later."""

    sample: float = Field(default=1.0, description="share of the predictions, 0 to 1; 0: none")
    features: bool = Field(
        default=False, description="whether the inputs are kept too, for slices of the performance"
    )
    jobs: bool = Field(default=False, description="whether rows of batch jobs are kept as well")


class ModelRecord(Record):
    """A model: which version serves, and how traffic is split."""

    name: Name
    latest_version: VersionName | None = None
    production_version: VersionName | None = None
    ab_split: dict[VersionName, float] | None = None
    allocation: tuple[tuple[VersionName, int], ...] | None = None
    """Which of the 10,000 buckets each version of the running split owns, as runs in bucket order
    (`neuralstream_core.registry.allocation.allocate`); a changed split moves as few as possible."""
    salt: str
    """Mixed into the bucket hash, so that two models split entities independently."""
    revision: int = 0
    """Number of the latest event in the audit trail; every change raises it by one."""
    history: tuple[VersionName, ...] = ()
    """Former production versions that `rollback` can return to, the latest last."""
    require: dict[str, Gate] = Field(default_factory=dict)
    """Gates by metric, e.g. ``metrics.auc``."""
    serving_since: AwareDatetime | None = None
    """When other versions than before began to take the traffic; set by the journal."""
    shadow: Shadow | None = None
    guard: Guard | None = None
    ramp: Ramp | None = None
    """The ramp that the running split belongs to, until its last step."""
    log: PredictionLog = PredictionLog()
    """Which of its predictions are kept in the prediction log."""
    description: Description = ""
    tags: Tags = Field(default_factory=dict)
    created_at: AwareDatetime
    updated_at: AwareDatetime


def number_of(version: str) -> int:
    """``12`` for ``"v12"``."""
    return int(version[1:])


META: Final = "META"
VERSION: Final = "VERSION#"
EVENT: Final = "EVENT#"

_SHAPED_MODEL: Final = {"require", "ab_split", "allocation", "shadow", "guard", "ramp", "log"}
_PLAIN_VERSION: Final = {"status", "stage", "retired", "description", "tags", "profile"}


def model_key(namespace: str, model: str) -> str:
    """Partition of everything about one model."""
    return f"MODEL#{namespace}#{model}"


def models_key(namespace: str) -> str:
    """Partition of the listing of models in ``GSI1``."""
    return f"MODELS#{namespace}"


def version_key(version: str) -> str:
    """Sort key of a version; zero-padded, so that v10 follows v9."""
    return f"{VERSION}{number_of(version):09d}"


def event_key(revision: int) -> str:
    return f"{EVENT}{revision:012d}"


def model_item(namespace: str, model: ModelRecord) -> Item:
    listed = {"GSI1PK": models_key(namespace), "GSI1SK": model.name}
    plain = set(ModelRecord.model_fields) - _SHAPED_MODEL
    return {"PK": model_key(namespace, model.name), "SK": META, **listed, **stored(model, plain)}


def version_item(namespace: str, version: VersionRecord) -> Item:
    key = {"PK": model_key(namespace, version.model), "SK": version_key(version.version)}
    return {**key, **stored(version, _PLAIN_VERSION)}


def stored(record: Record, plain: set[str]) -> Item:
    """A record's fields: those of ``plain`` as attributes, the others as one JSON text."""
    attributes = record.model_dump(mode="json", include=plain)
    return {**attributes, "opaque": record.model_dump_json(exclude=plain)}


def from_item(kind: type[RecordT], item: Item) -> RecordT:
    """The record of an item."""
    return kind.model_validate({**json.loads(item["opaque"]), **item})
