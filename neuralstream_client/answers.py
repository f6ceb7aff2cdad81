"""What the server answers: one class for each schema of the OpenAPI document.

Made by ``make client``; do not edit.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "ActorAnswer",
    "AdoptJob",
    "AdoptResult",
    "Alarm",
    "Answer",
    "Artifact",
    "BackfillJob",
    "BackfillResult",
    "BatchColumns",
    "BatchErrors",
    "BatchPrediction",
    "BatchRow",
    "BinShare",
    "CalibrationBin",
    "CellCounts",
    "Checked",
    "Code",
    "ColumnsAnswer",
    "Coverage",
    "Dataset",
    "DeclineAlarm",
    "DeclineSeries",
    "DriftReport",
    "DriftStatus",
    "DriftSummaries",
    "DriftSummary",
    "Dtype",
    "Edge",
    "EntityHistoryAnswer",
    "EventKind",
    "EventRecord",
    "Failure",
    "FeatureAnswer",
    "FeatureQuality",
    "FeatureRef",
    "FeaturesBatchAnswer",
    "FileUpload",
    "Finding",
    "Findings",
    "Footprint",
    "ForgetAnswer",
    "Format",
    "Gate",
    "Graph",
    "Guard",
    "GuardAnswer",
    "GuardData",
    "GuardRule",
    "Health",
    "HistoryRow",
    "InferAnswer",
    "Job",
    "JobPage",
    "JobResult",
    "JobStatus",
    "KeyAnswer",
    "KeysAnswer",
    "Latency",
    "Lineage",
    "LineageAnswer",
    "Live",
    "Measured",
    "MintedKeyAnswer",
    "MissingPolicy",
    "Mode",
    "ModelAnswer",
    "ModelMetadata",
    "ModelReady",
    "ModelStats",
    "ModelsAnswer",
    "ModelsStats",
    "NextRun",
    "Node",
    "OutcomeColumns",
    "OutcomesAnswer",
    "OutcomesJob",
    "OutcomesResult",
    "OutputTensor",
    "Performance",
    "PeriodPerformance",
    "Place",
    "PredictAnswer",
    "PredictJob",
    "PredictedColumns",
    "PredictionLog",
    "PredictionStats",
    "Problem",
    "Progress",
    "Ramp",
    "RampData",
    "RampStep",
    "Rate",
    "Ready",
    "RebuildJob",
    "RebuildResult",
    "RowAnswer",
    "Run",
    "RunAnswer",
    "RunDataset",
    "RunEvent",
    "RunEvents",
    "ScheduleAnswer",
    "ScheduleDeletion",
    "SchedulesAnswer",
    "SeriesReport",
    "Server",
    "ServiceAnswer",
    "ServiceDeletion",
    "ServiceList",
    "ServingBatchAnswer",
    "Severity",
    "Shadow",
    "ShadowAnswer",
    "Signature",
    "Slice",
    "Span",
    "SplitAnswer",
    "SplitCheck",
    "SplitResults",
    "Stage",
    "Tensor",
    "TensorMetadata",
    "TrafficCheck",
    "TrainingJob",
    "TrainingResult",
    "TrainingSet",
    "Trip",
    "Upload",
    "UploadAnswer",
    "VersionAnswer",
    "VersionComparison",
    "VersionLineage",
    "VersionPerformance",
    "VersionResult",
    "VersionStats",
    "VersionStatus",
    "VersionsAnswer",
    "ViewAnswer",
    "ViewConsistency",
    "ViewDeletion",
    "ViewList",
    "ViewSnapshot",
    "ViewUse",
    "WriteAnswer",
]


class Answer(BaseModel):
    """Base of all answers; fields that this release does not know are kept in ``model_extra``."""

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)


if TYPE_CHECKING:
    DriftStatus: TypeAlias = Literal["no_reference", "insufficient_data", "ok", "warning", "drift"]
    Dtype: TypeAlias = Literal["float32", "float64", "int64", "bool", "string", "timestamp"]
    EventKind: TypeAlias = Literal[
        "registered",
        "ready",
        "rejected",
        "promoted",
        "rolled_back",
        "archived",
        "restored",
        "split_set",
        "split_ended",
        "shadow_set",
        "shadow_ended",
        "guard_set",
        "guard_removed",
        "guard_tripped",
        "baseline_adopted",
        "edited",
        "batch_finished",
        "batch_failed",
    ]
    Format: TypeAlias = Literal["onnx", "linear"]
    JobStatus: TypeAlias = Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED"]
    MissingPolicy: TypeAlias = Literal["error", "null", "default"]
    Mode: TypeAlias = Literal["as_of", "as_known"]
    Severity: TypeAlias = Literal["none", "moderate", "major", "extreme"]
    Stage: TypeAlias = Literal["staging", "production", "archived"]
    VersionStatus: TypeAlias = Literal["PENDING_UPLOAD", "READY", "REJECTED"]
else:
    DriftStatus: TypeAlias = str
    Dtype: TypeAlias = str
    EventKind: TypeAlias = str
    Format: TypeAlias = str
    JobStatus: TypeAlias = str
    MissingPolicy: TypeAlias = str
    Mode: TypeAlias = str
    Severity: TypeAlias = str
    Stage: TypeAlias = str
    VersionStatus: TypeAlias = str


class ActorAnswer(Answer):
    """Who did something with a key over HTTP."""

    principal: str
    key_id: str | None


class AdoptResult(Answer):
    """Counts of a finished adoption."""

    entities: int
    rows: int
    history_complete: bool


class Failure(Answer):
    """Why a job failed."""

    code: str
    detail: str


class Progress(Answer):
    """Chunks and rows that are done."""

    chunks: int = 0
    chunks_done: int = 0
    rows: int = 0
    failed: int = 0


class BackfillResult(Answer):
    """Counts and files of a finished backfill."""

    rows: int
    failed: int
    manifest: str | None = None
    errors: list[str] = Field(default_factory=list)
    reasons: dict[str, int] = Field(default_factory=dict)
    written: int
    stale: int
    history_only: int


class BatchErrors(Answer):
    """Rows without a prediction that share one reason."""

    code: str
    detail: str
    rows: list[int]


class PredictedColumns(Answer):
    """The fields of a row's prediction, each as a list: null where a row has no such value,
    and left out where none has.
    """

    version: list[str]
    prediction: list[int | float | str | bool | list[int | float | str | bool] | None]
    probability: list[float | None] | None = None
    probabilities: dict[str, list[float | None]] | None = None
    score: list[float | None] | None = None
    scores: dict[str, list[float | None]] | None = None
    outputs: dict[str, list[int | float | bool | str | list[float] | None]] | None = None
    prediction_id: list[str | None]


class BatchPrediction(Answer):
    """One row of the answer: a prediction or an error."""

    entity_id: str | list[str] | dict[str, str]
    version: str
    prediction: int | float | str | bool | list[int | float | str | bool] | None = None
    probability: float | None = None
    probabilities: dict[str, float] | None = None
    score: float | None = None
    scores: dict[str, float] | None = None
    outputs: dict[str, int | float | bool | str | list[float] | None] | None = None
    prediction_id: str | None = None
    error: dict[str, Any] | None = None


class BatchRow(Answer):
    """One entity's features."""

    entity_id: str | list[str]
    features: dict[str, int | float | bool | str | list[float] | None]
    status: dict[str, str]
    event_timestamp: str | None


class BinShare(Answer):
    """A group of values: its share on both sides and its part of the PSI."""

    bin: str
    reference: float
    current: float
    psi: float


class CalibrationBin(Answer):
    """The rows whose probability lies in one tenth of the range."""

    low: float
    high: float
    n: int
    predicted: float
    observed: float
    observed_low: float | None
    observed_high: float | None


class CellCounts(Answer):
    """Cells of one feature, by what the check found; expired ones are not compared."""

    match: int = 0
    mismatch: int = 0
    missing: int = 0
    extra: int = 0
    unadopted: int = 0


class Checked(Answer):
    """That a version reproduced the caller's own answers before it became READY."""

    rows: int
    tolerance: float
    max_difference: float
    ties: int = 0
    digest: str | None = None


class Code(Answer):
    """Training code, as far as it is known."""

    repo: str | None = None
    commit: str | None = None
    path: str | None = None


class ColumnsAnswer(Answer):
    """The same in columns: row ``i`` of every list belongs to ``entity_ids[i]``."""

    feature_view: str
    entity_ids: list[str | list[str]]
    columns: dict[str, list[int | float | bool | str | list[float] | None]]
    status: dict[str, dict[str, list[int]]]
    event_timestamps: list[str | None] | None = None


class Coverage(Answer):
    """How many labels got a value."""

    present: int
    share: float


class Dataset(Answer):
    """Training data."""

    name: str
    digest: str | None = None
    uri: str | None = None
    start: datetime | None = None
    end: datetime | None = None


class Span(Answer):
    """``[start, end)``; start is a whole minute or hour."""

    start: datetime
    end: datetime


class Edge(Answer):
    """``source`` was made with ``target``."""

    source: str
    target: str
    kind: str


class HistoryRow(Answer):
    """What one write said of an entity."""

    event_timestamp: datetime
    written_at: datetime
    features: dict[str, int | float | bool | str | list[float] | None]
    schema_version: int
    source: str
    request_id: str


class Gate(Answer):
    """Bounds a metric must keep for its version to be promoted to production; both
    inclusive.
    """

    min: float | None = None
    max: float | None = None


class GuardData(Answer):
    """Why a guard acted."""

    version: str
    rule: str
    found: str
    done: str


class PredictionLog(Answer):
    """Which predictions of a model are kept, for the outcomes that come later."""

    sample: float = 1.0
    features: bool = False
    jobs: bool = False


class RampData(Answer):
    """The step of a ramp that an event began."""

    version: str
    step: int
    share: float


class FeatureQuality(Answer):
    """Shares of a feature's cells, those of refused rows included."""

    missing: float
    expired: float
    invalid: float


class FeatureRef(Answer):
    """One model input: ``view:feature``, ``view@role:feature``, or a request-time value
    ``request:name`` without a view. ``dtype`` and ``size`` (elements of a vector; 1 for a
    scalar) are those of the view's schema when the version was registered.
    """

    view: str | None
    feature: str
    role: str | None = None
    dtype: str = "float64"
    size: int = 1
    default: int | float | bool | str | list[float] | None = None


class Upload(Answer):
    """How to send bytes: ``method`` to ``url`` with exactly ``headers`` and the bytes as
    body.
    """

    method: str
    url: str
    headers: dict[str, str]


class Finding(Answer):
    """What the last evaluation found about one version and one rule."""

    version: str
    rule: str
    status: str
    broken_windows: int
    value: float | None
    baseline: float | None
    n: int
    sentence: str


class Footprint(Answer):
    """What loading and running a model took when it was validated, in a process of its own.
    ``loaded`` and ``run`` are bytes: kept once it is loaded, and on top of that at the
    height of a run on the sample rows. ``load_seconds`` is processor time.
    """

    loaded: int
    run: int
    load_seconds: float


class ForgetAnswer(Answer):
    """An entity that is forgotten."""

    feature_view: str
    entity_id: str | list[str]
    found: bool


class Node(Answer):
    """A version, or something a version was made from."""

    id: str
    kind: str


class GuardRule(Answer):
    """One bound on a version that takes traffic; exactly one of ``max``, ``min``,
    ``worse_than_baseline``.
    """

    metric: str
    max: float | None = None
    min: float | None = None
    worse_than_baseline: float | None = None
    windows: int = 2
    window: str = "5m"


class Trip(Answer):
    """The last time that a guard acted."""

    at: datetime
    version: str
    rule: str
    found: str
    done: str


class Health(Answer):
    """Whether the parts answer that requests need."""

    status: str
    checks: dict[str, str]
    version: str


class OutputTensor(Answer):
    """One output of the model."""

    name: str
    shape: list[int]
    datatype: str
    data: list[int | float | bool | str | list[Any] | None]


class Job(Answer):
    """What runs: ``{model}.train`` or ``{model}.predict``."""

    namespace: str
    name: str
    facets: dict[str, Any] = Field(default_factory=dict)


class JobResult(Answer):
    """Counts and files of a finished prediction job."""

    rows: int
    failed: int
    manifest: str | None = None
    errors: list[str] = Field(default_factory=list)
    reasons: dict[str, int] = Field(default_factory=dict)
    versions: dict[str, Any] = Field(default_factory=dict)


class Latency(Answer):
    """Milliseconds; percentiles within 1.1 %."""

    p50: float | None
    p95: float | None
    p99: float | None
    mean: float | None


class Live(Answer):
    """That the function runs."""

    live: bool


class Measured(Answer):
    """A measure of the predictions of a window that have an outcome."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int
    within: float = 0.0


class Shadow(Answer):
    """A version that sees the traffic of the others and never answers."""

    version: str
    sample: float
    since: datetime


class TensorMetadata(Answer):
    """An input or output of a model."""

    name: str
    datatype: str
    shape: list[int]


class ModelReady(Answer):
    """That a version is loaded."""

    name: str
    ready: bool


class SplitCheck(Answer):
    """Observed traffic against the split: Pearson's χ² (sample-ratio mismatch). It takes
    rows as independent; few entities with very many requests each can make it too strict.
    """

    start: datetime
    n: int
    chi2: float
    p: float
    mismatch: bool


class NextRun(Answer):
    """The run to come, its locations filled in."""

    scheduled_time: datetime
    input: str
    output: str


class OutcomeColumns(Answer):
    """Which column of a file is what; rows name predictions by id, or by entity and time."""

    prediction_id: str | None = None
    entity_id: str | list[str] | None = None
    predicted_at: str = "predicted_at"
    label: str = "label"
    observed_at: str = "observed_at"


class OutcomesAnswer(Answer):
    """Outcomes that are kept. Whether their predictions are known shows in the performance."""

    model: str
    accepted: int
    versions: dict[str, Any]


class OutcomesResult(Answer):
    """Counts and files of a finished job."""

    rows: int
    failed: int
    manifest: str | None = None
    errors: list[str] = Field(default_factory=list)
    reasons: dict[str, int] = Field(default_factory=dict)
    accepted: int
    versions: dict[str, Any] = Field(default_factory=dict)


class Place(Answer):
    """One place of the request that is wrong."""

    loc: str
    msg: str


class PredictAnswer(Answer):
    """One prediction."""

    model: str
    version: str
    entity_id: str | list[str] | dict[str, str] | None
    prediction: int | float | str | bool | list[int | float | str | bool] | None
    probability: float | None = None
    probabilities: dict[str, float] | None = None
    score: float | None = None
    scores: dict[str, float] | None = None
    outputs: dict[str, int | float | bool | str | list[float] | None] | None = None
    latency_ms: float
    features: dict[str, int | float | bool | str | list[float] | None] | None = None
    prediction_id: str
    timestamp: datetime


class PredictionStats(Answer):
    """How predictions, or a classifier's probabilities, are distributed."""

    series: str
    n: int
    bins: list[list[Any]]


class RampStep(Answer):
    """A share of the traffic and for how long; ``seconds`` of the last step is null."""

    share: float
    seconds: int | None


class Ready(Answer):
    """That predictions can be served."""

    ready: bool


class RebuildResult(Answer):
    """Counts of a finished rebuild."""

    rows: int
    tail: int
    refused: int
    history_version: int


class RowAnswer(Answer):
    """One entity's features of one view."""

    feature_view: str
    entity_id: str | list[str]
    features: dict[str, int | float | bool | str | list[float] | None]
    status: dict[str, str]
    event_timestamp: str | None


class Run(Answer):
    """A training run or a batch job."""

    runId: str
    facets: dict[str, Any] = Field(default_factory=dict)


class RunDataset(Answer):
    """Data, a feature view or a model version that a run reads or writes."""

    namespace: str
    name: str
    facets: dict[str, Any] = Field(default_factory=dict)


class ScheduleDeletion(Answer):
    """A schedule that was deleted; it starts nothing from now on."""

    name: str
    status: str = "deleted"


class Server(Answer):
    """What serves."""

    name: str
    version: str
    extensions: list[str]


class ServiceAnswer(Answer):
    """A version of a feature service."""

    name: str
    version: int
    features: list[str]
    description: str
    created_at: str


class ServiceDeletion(Answer):
    """The service is gone; model versions that were registered with it keep their features."""

    name: str
    version: int


class Tensor(Answer):
    """A named input or output; ``shape`` has ``-1`` where the size is free (the batch
    axis).
    """

    name: str
    datatype: str
    shape: list[int]


class TrafficCheck(Answer):
    """Observed traffic against the weights of the split (sample-ratio mismatch, Pearson's
    chi-squared).
    """

    start: datetime
    entities: dict[str, Any]
    p: float
    mismatch: bool


class VersionComparison(Answer):
    """One version against the one in production, by one measure."""

    version: str
    metric: str
    value: float
    low: float | None
    high: float | None
    better: bool | None
    entities: int
    detectable: float | None
    effect: float
    needed: int | None
    ready_at: datetime | None
    sentence: str


class ViewSnapshot(Answer):
    """The state of a view's history that was read."""

    history_version: int
    schema_version: int
    history_until: datetime | None = None


class UploadAnswer(Answer):
    """Send the artifact: this method, this address, exactly these headers, the bytes as
    body.
    """

    method: str
    url: str
    headers: dict[str, str]
    expires_at: datetime


class ViewUse(Answer):
    """A feature view as a version uses it."""

    view: str
    schema_version: int
    features: list[str]
    roles: list[str] = Field(default_factory=list)


class ViewDeletion(Answer):
    """``deleting``: rows remain, repeat the request."""

    name: str
    status: str
    rows_removed: int


class WriteAnswer(Answer):
    """What became of the rows: ``written + stale`` is their number."""

    feature_view: str
    written: int
    stale: int
    stale_cells: int | None = None


class KeyAnswer(Answer):
    """A key without its secret."""

    key_id: str
    principal: str
    scopes: list[str]
    description: str
    state: str
    created_at: datetime
    created_by: ActorAnswer | None
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: ActorAnswer | None


class MintedKeyAnswer(Answer):
    """A new key, at the one moment at which its secret is shown."""

    key_id: str
    principal: str
    scopes: list[str]
    description: str
    state: str
    created_at: datetime
    created_by: ActorAnswer | None
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: ActorAnswer | None
    key: str = Field(repr=False)


class RunAnswer(Answer):
    """One run that took place, and its job."""

    scheduled_time: datetime
    job_id: str
    status: JobStatus
    failure: Failure | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class AdoptJob(Answer):
    """A job that takes what is online into the history."""

    job_id: str
    kind: str = "adopt"
    status: JobStatus
    progress: Progress = Field(default_factory=Progress)
    failure: Failure | None = None
    created_at: datetime
    created_by: str
    started_at: datetime | None = None
    finished_at: datetime | None = None
    feature_view: str
    outcome: AdoptResult | None = None


class Alarm(Answer):
    """What scheduled evaluation holds of the version, with hysteresis."""

    status: DriftStatus
    since: datetime
    evaluated: datetime | None = None


class DeclineSeries(Answer):
    """One measure of the last window that was judged."""

    feature: str
    kind: str = "performance"
    status: DriftStatus
    sentence: str
    reference: float | None
    current: float | None
    n_reference: int
    n_current: int
    p: float | None


class DriftSummary(Answer):
    """One version in the list of all."""

    model: str
    version: str
    status: DriftStatus
    summary: str
    rows: int
    error_rate: float | None
    drifted: list[str]


class Rate(Answer):
    """A rate on both sides; ``p`` one-sided, of an exact test: Fisher's, or of failed rows
    the binomial.
    """

    reference: float | None
    current: float | None
    p: float | None = None
    status: DriftStatus


class Artifact(Answer):
    """The bytes of a version."""

    digest: str
    format: Format
    size: int


class BackfillJob(Answer):
    """A job that writes feature values of the past from a file."""

    job_id: str
    kind: str = "backfill"
    status: JobStatus
    progress: Progress = Field(default_factory=Progress)
    failure: Failure | None = None
    created_at: datetime
    created_by: str
    started_at: datetime | None = None
    finished_at: datetime | None = None
    input: str
    output: str
    max_failed_fraction: float
    allow_empty: bool = False
    input_format: str
    timezone: str | None = None
    feature_view: str
    timestamp: str
    entity: str | dict[str, Any] | None = None
    features: dict[str, Any] | None = None
    empty: str = "null"
    outcome: BackfillResult | None = None


class BatchColumns(Answer):
    """Predictions in columns: row ``i`` of every list belongs to ``entity_ids[i]``."""

    model: str
    entity_ids: list[str | list[str] | dict[str, str]]
    columns: PredictedColumns
    errors: list[BatchErrors]
    count: int
    failed: int
    latency_ms: float
    timestamp: datetime


class ServingBatchAnswer(Answer):
    """Predictions in the order of ``entity_ids``."""

    model: str
    predictions: list[BatchPrediction]
    count: int
    failed: int
    latency_ms: float
    timestamp: datetime


class FeaturesBatchAnswer(Answer):
    """Rows in the order of the request, duplicates kept."""

    feature_view: str
    results: list[BatchRow]


class ViewConsistency(Answer):
    """The last check of a view."""

    feature_view: str
    checked_at: datetime
    entities: int
    share: float
    features: dict[str, CellCounts]


class Lineage(Answer):
    """What a version was made from. Further fields are kept as they are."""

    dataset: Dataset | list[Dataset] | None = None
    code: Code | None = None
    run_id: str | None = None
    parents: list[str] = Field(default_factory=list)


class FeatureAnswer(Answer):
    """One column of a view."""

    name: str
    dtype: Dtype
    shape: list[int] | None = None
    description: str | None = None
    default: int | float | bool | str | list[float] | None = None


class EntityHistoryAnswer(Answer):
    """A page of the rows that were written of an entity."""

    feature_view: str
    entity_id: str | list[str]
    rows: list[HistoryRow]
    next_token: str | None = None


class EventRecord(Answer):
    """One entry of a model's audit trail: who did what, when and why, and the state it
    left.
    """

    revision: int
    kind: EventKind
    version: str | None = None
    at: datetime
    actor: str
    reason: str | None = None
    stages: dict[str, Any] = Field(default_factory=dict)
    production_version: str | None = None
    ab_split: dict[str, Any] | None = None
    data: dict[str, Any] = Field(default_factory=dict)


class FileUpload(Answer):
    """Where to send a file, and how jobs name it from then on."""

    input: str
    upload: Upload


class Findings(Answer):
    """What the last evaluation of a guard found."""

    at: datetime
    findings: list[Finding]
    ramp: str | None = None


class Graph(Answer):
    """Each node once, however many versions share it."""

    nodes: list[Node]
    edges: list[Edge]


class Guard(Answer):
    """Bounds that are evaluated every five minutes, and what happens when one is broken."""

    rules: list[GuardRule]
    action: str
    since: datetime
    armed: bool = True
    last_trip: Trip | None = None


class InferAnswer(Answer):
    """An inference response."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


class PredictJob(Answer):
    """A job that predicts from a file of entities to files of predictions."""

    job_id: str
    kind: str = "predict"
    status: JobStatus
    progress: Progress = Field(default_factory=Progress)
    failure: Failure | None = None
    created_at: datetime
    created_by: str
    started_at: datetime | None = None
    finished_at: datetime | None = None
    input: str
    output: str
    max_failed_fraction: float
    allow_empty: bool = False
    model: str
    input_format: str | None
    output_format: str
    version: str | None = None
    outcome: JobResult | None = None
    schedule: str | None = None
    scheduled_time: datetime | None = None


class PeriodPerformance(Answer):
    """The predictions of one hour or day."""

    start: datetime
    predictions: float | None
    n: int
    metrics: dict[str, Measured]


class Slice(Answer):
    """The predictions for which a feature had certain values."""

    values: str
    n: int
    share: float
    measured: Measured
    worse: bool


class VersionResult(Answer):
    """One version of a split."""

    version: str
    share: float
    predictions: float
    matched: float
    coverage: float | None
    n: int
    entities: int
    metrics: dict[str, Measured]


class ShadowAnswer(Answer):
    """The version that sees a model's traffic and never answers."""

    model: str
    shadow: Shadow | None


class ModelMetadata(Answer):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class OutcomesJob(Answer):
    """A job that takes outcomes in from a file."""

    job_id: str
    kind: str = "outcomes"
    status: JobStatus
    progress: Progress = Field(default_factory=Progress)
    failure: Failure | None = None
    created_at: datetime
    created_by: str
    started_at: datetime | None = None
    finished_at: datetime | None = None
    input: str
    output: str
    max_failed_fraction: float
    allow_empty: bool = False
    input_format: str
    timezone: str | None = None
    model: str
    columns: OutcomeColumns | None = None
    outcome: OutcomesResult | None = None


class Problem(Answer):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[Place] = Field(default_factory=list)


class VersionStats(Answer):
    """What one version did."""

    version: str
    stage: str | None
    requests: int
    rows: int
    failed: int
    failed_rows: int
    errors: dict[str, int]
    row_errors: dict[str, int]
    error_rate: float | None
    latency_ms: dict[str, Latency]
    cold_starts: int
    stale_routing: int
    lost: int
    logged: int
    overflowed: int
    saturated: bool
    predictions: list[PredictionStats]
    missing_rate: float | None
    expired_rate: float | None
    features: dict[str, FeatureQuality]
    traffic_share: float | None
    configured_share: float | None


class Ramp(Answer):
    """Traffic that moves to a version step by step."""

    version: str
    steps: list[RampStep]
    step: int
    since: datetime


class RebuildJob(Answer):
    """A job that fills the online store from the history."""

    job_id: str
    kind: str = "rebuild"
    status: JobStatus
    progress: Progress = Field(default_factory=Progress)
    failure: Failure | None = None
    created_at: datetime
    created_by: str
    started_at: datetime | None = None
    finished_at: datetime | None = None
    feature_view: str
    outcome: RebuildResult | None = None


class RunEvent(Answer):
    """A RunEvent of OpenLineage 2-0-2."""

    eventTime: datetime
    eventType: str
    producer: str
    schemaURL: str
    run: Run
    job: Job
    inputs: list[RunDataset]
    outputs: list[RunDataset]


class ServiceList(Answer):
    """One page of feature services; ``next_token`` asks for the next one."""

    services: list[ServiceAnswer]
    next_token: str | None = None


class Signature(Answer):
    """What the loaded model takes and gives, recorded when it was validated."""

    kind: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    classes: list[str | int | bool] | None = None
    scores: str | None = None
    names: list[str] = Field(default_factory=list)
    footprint: Footprint | None = None
    zipmap_inputs: dict[str, str] | None = None


class TrainingResult(Answer):
    """What a finished training set is."""

    rows: int
    columns: list[str]
    coverage: dict[str, Coverage]
    sha256: str
    bytes: int
    output: str
    views: dict[str, ViewSnapshot]
    services: list[str] = Field(default_factory=list)
    engine: str = "duckdb"


class KeysAnswer(Answer):
    """One page of keys by id, revoked and expired ones too."""

    keys: list[KeyAnswer]
    next_token: str | None = None


class ScheduleAnswer(Answer):
    """A schedule with its last and next run."""

    model: str
    input: str
    output: str
    input_format: str | None = None
    output_format: str = "jsonl"
    version: str | None = None
    max_failed_fraction: float = 0.01
    allow_empty: bool = False
    name: str
    expression: str
    timezone: str
    enabled: bool
    description: str | None = None
    revision: int
    state: str
    refusal: str | None = None
    next_run: NextRun | None = None
    last_run: RunAnswer | None = None
    runs: list[RunAnswer] = Field(default_factory=list)
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class DeclineAlarm(Answer):
    """Whether a version predicts worse than it did, as the scheduled evaluation last found."""

    status: DriftStatus
    since: datetime
    baseline: Span
    window: Span
    series: list[DeclineSeries]


class DriftSummaries(Answer):
    """Versions with traffic in the window, the most urgent first."""

    window: Span
    models: list[DriftSummary]


class SeriesReport(Answer):
    """One distribution of one version in one window, or the rows that failed with one code."""

    feature: str
    kind: str
    type: str
    dimension: int | None = None
    status: DriftStatus
    sentence: str
    severity: Severity
    reasons: list[str]
    n_reference: int
    n_current: int
    psi: float | None
    threshold: float | None
    alert_threshold: float | None
    threshold_set_by: str | None
    js: float | None
    ks: list[Any] | None
    missing: Rate
    unknown: Rate
    errors: Rate | None = None
    bins: list[BinShare]
    saturated: bool = False


class VersionLineage(Answer):
    """What one version was made from."""

    version: str
    status: VersionStatus
    stage: Stage
    created_at: datetime
    created_by: str
    artifact: Artifact
    datasets: list[dict[str, Any]] = Field(default_factory=list)
    code: dict[str, Any] | None = None
    run_id: str | None = None
    parents: list[str] = Field(default_factory=list)
    feature_views: list[ViewUse] = Field(default_factory=list)
    feature_services: list[str] = Field(default_factory=list)
    params: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)
    further: dict[str, Any] = Field(default_factory=dict)


class ViewAnswer(Answer):
    """A feature view."""

    name: str
    entity: str | list[str]
    features: list[FeatureAnswer]
    ttl_seconds: int | None
    history: bool
    history_complete: bool
    description: str
    owner: str
    tags: dict[str, str]
    schema_version: int
    created_at: str
    updated_at: str


class GuardAnswer(Answer):
    """The bounds on the versions of a model that take traffic."""

    model: str
    guard: Guard | None
    evaluated: Findings | None = None


class SplitResults(Answer):
    """Which version of a split is better, as far as outcomes tell."""

    model: str
    running: bool
    start: datetime
    end: datetime
    production: str
    metric: str
    alpha: float
    verdict: str
    versions: list[VersionResult]
    comparisons: list[VersionComparison]
    traffic: TrafficCheck | None
    unmatched: int


class ModelStats(Answer):
    """What a model did in a window."""

    model: str
    window: Span
    versions: list[VersionStats]
    shadows: list[VersionStats] = Field(default_factory=list)
    unrouted: dict[str, int]
    split: SplitCheck | None


class ModelAnswer(Answer):
    """A model."""

    name: str
    latest_version: str | None
    production_version: str | None
    ab_split: dict[str, Any] | None
    history: list[str]
    require: dict[str, Gate]
    shadow: Shadow | None = None
    guard: Guard | None = None
    ramp: Ramp | None = None
    log: PredictionLog
    revision: int
    description: str
    tags: dict[str, str]
    created_at: datetime
    updated_at: datetime


class SplitAnswer(Answer):
    """How traffic is shared; ``split`` is null when all goes to the production version."""

    model: str
    split: dict[str, Any] | None
    production_version: str | None
    ramp: Ramp | None = None
    next_step_at: datetime | None = None


class RunEvents(Answer):
    """With ``format=openlineage``: the versions and events of one page as run events."""

    events: list[RunEvent]
    next_token: str | None = None
    next_events_token: str | None = None


class VersionAnswer(Answer):
    """A version; ``upload`` is there while its artifact is awaited."""

    model: str
    version: str
    status: VersionStatus
    stage: Stage
    reason: str | None
    format: Format
    digest: str
    size: int
    features: list[str]
    inputs: list[FeatureRef]
    feature_views: dict[str, Any]
    feature_services: list[str] = Field(default_factory=list)
    missing: MissingPolicy
    signature: Signature | None
    check: Checked | None
    profile: str | None
    metrics: dict[str, float]
    params: dict[str, Any]
    lineage: Lineage
    description: str
    tags: dict[str, str]
    created_at: datetime
    created_by: str
    upload: UploadAnswer | None = None


class TrainingJob(Answer):
    """A job that makes a training set."""

    job_id: str
    kind: str = "training_set"
    status: JobStatus
    progress: Progress = Field(default_factory=Progress)
    failure: Failure | None = None
    created_at: datetime
    created_by: str
    started_at: datetime | None = None
    finished_at: datetime | None = None
    features: list[str]
    entity: dict[str, str] = Field(default_factory=dict)
    timestamp: str
    mode: Mode
    input: str
    input_format: str
    output: str
    outcome: TrainingResult | None = None


class TrainingSet(Answer):
    """A training set, as its routes answer it."""

    training_set_id: str
    status: JobStatus
    features: list[str]
    mode: Mode
    labels: str
    result: TrainingResult | None = None
    download: str | None = None
    failure: Failure | None = None
    created_at: datetime
    finished_at: datetime | None = None


class SchedulesAnswer(Answer):
    """Schedules by name."""

    schedules: list[ScheduleAnswer]
    next_token: str | None = None


class VersionPerformance(Answer):
    """How good the predictions of one version in the window were."""

    version: str
    kind: str | None
    shadow: bool
    sentence: str
    predictions: float | None
    matched: float
    coverage: float | None
    n: int
    share: float
    left_out: int
    decline: DeclineAlarm | None = None
    metrics: dict[str, Measured]
    calibration: list[CalibrationBin] = Field(default_factory=list)
    series: list[PeriodPerformance] = Field(default_factory=list)
    slices: list[Slice] = Field(default_factory=list)


class DriftReport(Answer):
    """Drift of one version in one window."""

    model: str
    version: str
    window: Span
    status: DriftStatus
    summary: str
    rows: int
    failed: int
    error_rate: float | None
    lost: int
    alpha: float
    series: list[SeriesReport]
    alarm: Alarm | None = None


class LineageAnswer(Answer):
    """What versions were made from and what happened, in order of time, each list with its
    own next page.
    """

    model: str
    versions: list[VersionLineage]
    events: list[EventRecord]
    graph: Graph
    next_token: str | None = None
    next_events_token: str | None = None


class ViewList(Answer):
    """One page of views; ``next_token`` asks for the next one."""

    views: list[ViewAnswer]
    next_token: str | None = None


class ModelsStats(Answer):
    """All models with traffic in the window."""

    models: list[ModelStats]
    consistency: list[ViewConsistency] = Field(default_factory=list)


class ModelsAnswer(Answer):
    """One page of models."""

    models: list[ModelAnswer]
    next_token: str | None


class VersionsAnswer(Answer):
    """One page of versions."""

    model: str
    versions: list[VersionAnswer]
    next_token: str | None


class JobPage(Answer):
    """Jobs, newest first."""

    jobs: list[PredictJob | BackfillJob | RebuildJob | AdoptJob | TrainingJob | OutcomesJob]
    next_token: str | None = None


class Performance(Answer):
    """How good the predictions of a model were, as far as outcomes tell."""

    model: str
    window: Span
    by: str
    versions: list[VersionPerformance]
    unmatched: int
