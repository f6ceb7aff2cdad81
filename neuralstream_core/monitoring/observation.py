"""What serving reports to monitoring, and the port it reports to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from neuralstream_core.registry.records import FeatureRef

__all__ = [
    "UNREAD",
    "WRONG_TYPE",
    "AnyObservation",
    "Failed",
    "LogEntry",
    "Observation",
    "Recorder",
    "Refused",
    "RowObservation",
    "Shadowed",
    "Timings",
]

WRONG_TYPE: Final = 4
"""Cell status beside those of the feature store: a value of the caller of a wrong type, or infinite."""
UNREAD: Final = 5
"""Cell status of a refused row whose cell was not looked up; it is not counted."""

Timings: TypeAlias = tuple[float, float, float]
"""Seconds: total, reading features, inference."""


class LogEntry(NamedTuple):
    """What the prediction log keeps of some answers (`neuralstream_core.outcomes.log`).

    Attributes:
        data: packed.
        rows: answers in it.
    """

    data: bytes
    rows: int


@dataclass(slots=True)
class RowObservation:
    """One answered request for one row.

    Not frozen: a frozen dataclass takes three times as long to build.

    Attributes:
        profile: digest of the version's monitoring profile (`VersionRecord.profile`).
        features: the version's features, in model input order.
        values: one Python value per feature, ``None`` where absent, a sequence for a vector.
        status: one status per feature (0 present, 1 NULL, 2 expired, 3 not found, as in the feature
            store), or ``None`` when all are present.
        prediction: the class label or the regression value.
        score: a classifier's probability as answered; ``None`` for a regressor.
        cold: the first prediction of this execution environment.
        stale_routing: the registry was unreachable, so the last known routing was used.
        pinned: the caller named the version, so the row says nothing about the traffic split.
        classes: `Signature.classes`; read only while the version has no profile.
        log: entries of the prediction log; none of a prediction that is not logged.
        shadow: what a version that did not answer made of the same request; counted in the same flight.
    """

    model: str
    version: str
    profile: str | None
    features: Sequence[FeatureRef]
    values: Sequence[Any]
    status: Sequence[int] | None
    prediction: Any
    score: float | None
    timings: Timings
    cold: bool = False
    stale_routing: bool = False
    pinned: bool = False
    classes: Sequence[str | int | bool] | None = None
    log: Sequence[LogEntry] = ()
    shadow: Shadowed | None = None


@dataclass(slots=True)
class Observation:
    """One answered request of one version by column: ``n`` rows looked up, ``k`` of them answered.

    Attributes (others as in `RowObservation`):
        columns: one per feature, each of ``n`` values: a numpy array (2-D for a vector feature) or a
            sequence of Python values.
        status: uint8 ``(n, len(features))``, or ``None`` when all are present.
        prediction: ``k`` labels or values.
        score: ``k`` probabilities, or ``None``.
        timings: of the request as a whole; ``None`` for a batch job.
        requests: API calls this stands for: 1, or 0 for a further part of a call and for a job.
        errors: rows that failed, by error code.
        answered: bool ``(n,)``, which rows were answered; ``None`` when all were.
    """

    model: str
    version: str
    profile: str | None
    features: Sequence[FeatureRef]
    columns: Sequence[Any]
    status: NDArray[np.uint8] | None
    prediction: Any
    score: Any | None
    timings: Timings | None = None
    cold: bool = False
    stale_routing: bool = False
    pinned: bool = False
    requests: int = 1
    errors: Mapping[str, int] | None = None
    classes: Sequence[str | int | bool] | None = None
    answered: NDArray[np.bool_] | None = None
    log: Sequence[LogEntry] = ()
    shadow: Shadowed | None = None

    @property
    def rows(self) -> int:
        """Answered rows."""
        return len(self.prediction)


@dataclass(slots=True)
class Refused:
    """One row that was refused after its features were looked up; attributes as in `RowObservation`.

    ``status`` may also hold `WRONG_TYPE` and `UNREAD`.
    """

    model: str
    version: str
    profile: str | None
    features: Sequence[FeatureRef]
    values: Sequence[Any]
    status: Sequence[int] | None
    classes: Sequence[str | int | bool] | None = None


@dataclass(slots=True)
class Failed:
    """A request that a shadow could not answer: ``rows`` rows, with one code.

    Attributes:
        version: with `layout.SHADOW` behind.
    """

    model: str
    version: str
    code: str
    rows: int


AnyObservation: TypeAlias = RowObservation | Observation
Shadowed: TypeAlias = RowObservation | Observation | Failed
"""What a shadow did, its version with `layout.SHADOW` behind; it has no shadow itself."""


class Recorder(Protocol):
    """Where observations go. No method raises: a prediction must not fail because of its count."""

    def record(self, observation: AnyObservation) -> None:
        """Count one answered request, with one flight to Redis."""

    def failure(
        self,
        model: str,
        version: str | None,
        code: str,
        *,
        rows: int = 1,
        refused: Refused | None = None,
    ) -> None:
        """Count one request that was answered with the error ``code``, with one flight to Redis.

        One that failed because Redis is down is counted with the next flight of its version.

        Args:
            version: ``None`` when the request failed before a version was chosen.
            rows: how many rows it asked for.
            refused: the cells of its one row, if they were looked up.
        """
