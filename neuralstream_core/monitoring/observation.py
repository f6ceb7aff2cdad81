"""What serving tells monitoring, and the one thing monitoring promises in return: never to fail it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from neuralstream_core.registry.records import FeatureRef

__all__ = [
    "UNREAD",
    "WRONG_TYPE",
    "AnyObservation",
    "Observation",
    "Recorder",
    "Refused",
    "RowObservation",
    "Timings",
]

WRONG_TYPE: Final = 4
"""Cell status beside those of `neuralstream_core.features.Status`: the caller gave a value of a wrong
type, or an infinite one."""
UNREAD: Final = 5
"""Cell status of a refused row whose cell nobody looked up; it is not counted."""

Timings: TypeAlias = tuple[float, float, float]
"""Seconds: total, reading features, inference."""


@dataclass(slots=True)
class RowObservation:
    """One answered prediction of one row: the real-time path.

    Not frozen: it is built once a request, and a frozen dataclass costs three times as much to build.

    Attributes:
        profile: digest of the version's monitoring profile (`VersionRecord.profile`).
        features: the version's features, in model input order.
        values: one Python value per feature (``None`` where absent, a sequence for a vector).
        status: one cell status per feature (`neuralstream_core.features.Status` values: 0 present,
            1 NULL, 2 expired, 3 not found), or ``None`` when every cell is present.
        prediction: the class label or the regression value.
        score: a classifier's probability as answered (binary: of the positive class, otherwise of
            the predicted class); ``None`` for a regressor.
        timings: seconds (total, features, inference).
        cold: the first prediction of this execution environment.
        stale_routing: the registry was unreachable and the last known routing was used.
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
    """The caller named the version; such rows say nothing about the traffic split."""
    classes: Sequence[str | int | bool] | None = None
    """`Signature.classes`; read only while the version has no profile."""


@dataclass(slots=True)
class Observation:
    """One answered request of one version, column by column: ``n`` rows that were looked up, of which
    ``k`` were answered and the others refused.

    Attributes:
        columns: one column per feature, each of ``n`` values: a numpy array (a vector feature: 2-D)
            or a sequence of Python values.
        status: uint8 ``(n, len(features))`` of cell statuses (`WRONG_TYPE` is allowed), or ``None``
            when all are present.
        prediction: ``k`` labels or values.
        score: ``k`` probabilities, or ``None``.
        timings: seconds (total, features, inference) of the request as a whole; ``None`` for a batch
            job, whose duration is no latency anybody waited for.
        requests: API calls this stands for: 1, or 0 for a further part of the same call or a job.
        errors: rows that failed, by error code.
        answered: bool ``(n,)``, which rows were answered; ``None`` when all of them were.
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
    errors: dict[str, int] | None = None
    classes: Sequence[str | int | bool] | None = None
    answered: NDArray[np.bool_] | None = None

    @property
    def rows(self) -> int:
        """Answered rows."""
        return len(self.prediction)


@dataclass(slots=True)
class Refused:
    """One row that was refused, as far as it had been looked up: its cells count like a served row's.

    Attributes: as in `RowObservation`; ``status`` may also hold `WRONG_TYPE` and `UNREAD`.
    """

    model: str
    version: str
    profile: str | None
    features: Sequence[FeatureRef]
    values: Sequence[Any]
    status: Sequence[int] | None
    classes: Sequence[str | int | bool] | None = None


AnyObservation: TypeAlias = RowObservation | Observation


class Recorder(Protocol):
    """Where observations go."""

    def record(self, observation: AnyObservation) -> None:
        """Count one answered request: one flight to Redis, awaited; never raises."""

    def failure(
        self,
        model: str,
        version: str | None,
        code: str,
        *,
        rows: int = 1,
        refused: Refused | None = None,
    ) -> None:
        """Count one request that was answered with the error ``code``: one flight; never raises.

        One that failed because Redis is down is counted with the next flight of its version.

        Args:
            version: ``None`` when the request failed before a version was chosen.
            rows: how many rows it asked for.
            refused: the cells of its one row, if they were looked up.
        """
