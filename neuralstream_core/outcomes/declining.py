"""Scheduled evaluation of performance: outcomes of closed hours against those that a version began with.

The first `REFERENCE` outcomes of a version are its baseline. After them windows are consecutive and disjoint,
as those of drift (`neuralstream_core.monitoring.evaluation`): the shortest run of closed hours since the last
one in which enough outcomes were observed, at most a week of them. An outcome belongs to the hour in which it
was observed, so it is judged once, however late it came.

Owned items, ``PK = DRIFT#{namespace}#{model}``, ``SK = PERFORMANCE#{version}``: a `DeclineState`. A change of
status is written together with an ``outbox`` attribute: the announcement of a changed drift status, whose
series are of kind ``performance``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from pydantic import AwareDatetime, Field

from neuralstream_core.errors import ConditionFailed, NotFound
from neuralstream_core.monitoring.baseline import alarm_key
from neuralstream_core.monitoring.decision import MIN_SAMPLES, DriftStatus, alpha_for
from neuralstream_core.monitoring.evaluation import Emit, State, next_status
from neuralstream_core.monitoring.layout import HOUR, MINUTE, Span
from neuralstream_core.outcomes.decline import Decline, declines
from neuralstream_core.outcomes.joined import Join
from neuralstream_core.outcomes.scoring import scored_of, shape_of
from neuralstream_core.time import Clock, Micros, from_micros, iso
from neuralstream_core.types import Record

if TYPE_CHECKING:
    from neuralstream_core.monitoring.profile import ProfileCache
    from neuralstream_core.outcomes.reading import OutcomeReader
    from neuralstream_core.outcomes.scored import Scored
    from neuralstream_core.registry.records import ModelRecord, VersionRecord
    from neuralstream_core.registry.registry import Registry
    from neuralstream_core.table import Item, Table

__all__ = ["REFERENCE", "DeclineAlarm", "DeclineEvaluation", "DeclineSeries", "DeclineStates"]

REFERENCE: Final = 1000
"""Outcomes of the baseline."""
_PATIENCE: Final[Micros] = 7 * 24 * HOUR
_LONGEST: Final[Micros] = 93 * 24 * HOUR
_GRACE: Final = 2 * MINUTE
_PAGE: Final = 100
_PREFIX: Final = "PERFORMANCE#"
_LEVELS: Final[Mapping[DriftStatus, int]] = {DriftStatus.WARNING: 1, DriftStatus.DRIFT: 2}

Run: TypeAlias = Mapping[str, int]


class DeclineSeries(Record):
    """One measure of the last window that was judged."""

    feature: str = Field(description="the measure")
    kind: Literal["performance"] = Field(
        default="performance", description="`performance`, beside the series of a drift report"
    )
    status: DriftStatus = Field(description="what the window alone says")
    sentence: str = Field(description="what happened, in words")
    reference: float | None = Field(description="the measure of the baseline")
    current: float | None = Field(description="of the window")
    n_reference: int = Field(description="outcomes of the baseline")
    n_current: int = Field(description="of the window")
    p: float | None = Field(description="probability of so large a decline by chance")


class DeclineState(State):
    """What is known of one version's performance.

    Attributes:
        reference_start, reference_end: when the baseline's outcomes were observed; 0 until it is complete.
        window_start: of the last window that was judged.
        series: of that window.
    """

    reference_start: Micros = 0
    reference_end: Micros = 0
    window_start: Micros = 0
    series: tuple[DeclineSeries, ...] = ()


class DeclineAlarm(Record):
    """Whether a version predicts worse than it did, as the scheduled evaluation last found."""

    status: DriftStatus = Field(
        description="opens when two of the last three windows agree, clears after two without"
    )
    since: AwareDatetime = Field(description="since when, UTC")
    baseline: Span = Field(description="when the outcomes were observed that it is compared with")
    window: Span = Field(description="of the last window that was judged")
    series: list[DeclineSeries] = Field(description="the measures of that window")


class DeclineStates:
    """The stored states of a namespace.

    Raises (every method):
        Unavailable: the table cannot be reached.
    """

    def __init__(self, table: Table, namespace: str) -> None:
        self._table, self._namespace = table, namespace

    def get(self, model: str, version: str) -> DeclineState:
        """What is known of a version."""
        item = self._table.get(alarm_key(self._namespace, model), _PREFIX + version)
        return DeclineState() if item is None else DeclineState.model_validate_json(item["state"])

    def alarm(self, model: str, version: str) -> DeclineAlarm | None:
        """The same as an answer shows it; ``None`` before a window was judged."""
        state = self.get(model, version)
        if not state.series:
            return None
        return DeclineAlarm(
            status=state.status,
            since=from_micros(state.since),
            baseline=_span(state.reference_start, state.reference_end),
            window=_span(state.window_start, state.until),
            series=list(state.series),
        )

    def put(
        self, model: str, version: str, before: DeclineState, after: DeclineState, now: Micros
    ) -> bool:
        """Store a state, and the announcement if the status changed; whether no other run was first."""
        item: Item = {
            "PK": alarm_key(self._namespace, model),
            "SK": _PREFIX + version,
            "state": after.model_dump_json(),
            "until": after.until,
        }
        if after.status is not before.status:
            item["outbox"] = {
                "kind": "drift_changed",
                "id": f"{self._namespace}:{model}:{version}:performance:{after.sequence}",
                "namespace": self._namespace,
                "model": model,
                "version": version,
                "status": str(after.status),
                "previous": str(before.status),
                "at": iso(now),
                "summary": " ".join(f"{one.sentence}." for one in after.series),
                "window": _span(after.window_start, after.until).model_dump(mode="json"),
                "series": [
                    one.model_dump(mode="json", include={"feature", "kind", "status", "sentence"})
                    for one in after.series
                ],
            }
        try:
            self._table.put(
                item,
                condition="attribute_not_exists(#until) OR #until = :before",
                names={"#until": "until"},
                values={":before": before.until},
            )
        except ConditionFailed:
            return False
        return True


class DeclineEvaluation:
    """Judges what has been observed since the last run.

    Args:
        profiles: of versions, whose number of series decides the level of a test.
        emit: publishes the metrics of a judged window.

    Raises (every method):
        Unavailable: the registry or the history cannot be reached; what was judged is stored.
    """

    def __init__(
        self,
        registry: Registry,
        reader: OutcomeReader,
        profiles: ProfileCache,
        states: DeclineStates,
        *,
        emit: Emit,
        clock: Clock,
    ) -> None:
        self._registry, self._reader, self._profiles = registry, reader, profiles
        self._states, self._emit, self._clock = states, emit, clock

    def run(self) -> Run:
        """Judge every version that takes traffic of a model that logs its predictions."""
        now = self._clock()
        closed = (now - _GRACE) // HOUR * HOUR
        versions = windows = changes = 0
        for model in self._models():
            with suppress(NotFound):
                for record in self._registry.served(model.name).versions.values():
                    judged, changed = self._version(record, closed, now)
                    versions += 1
                    windows += judged
                    changes += changed
        return {"versions": versions, "windows": windows, "changes": changes}

    def _models(self) -> Iterator[ModelRecord]:
        token: str | None = None
        while True:
            page = self._registry.models(limit=_PAGE, token=token)
            yield from (model for model in page.records if model.log.sample > 0)
            if (token := page.next_token) is None:
                return

    def _version(self, record: VersionRecord, closed: Micros, now: Micros) -> tuple[bool, bool]:
        """Whether a window was judged, and whether the status changed."""
        state = self._states.get(record.model, record.version)
        if not state.reference_end:
            self._begin(record, state, closed, now)
            return False, False
        start = max(state.until, closed - _PATIENCE)
        current = self._scored(record, start, closed)
        if current is None or len(current) < MIN_SAMPLES:
            return False, False
        reference = self._scored(record, state.reference_start, state.reference_end)
        if reference is None:
            return False, False
        found = declines(reference, current, alpha_for(self._profiles.of(record)[0]))
        observed = max((one.status for one in found), key=lambda status: status.rank)
        status, recent = next_status(state, observed)
        changed = status is not state.status
        after = state.model_copy(
            update={
                "status": status,
                "recent": recent,
                "since": now if changed or not state.since else state.since,
                "until": closed,
                "sequence": state.sequence + changed,
                "window_start": start,
                "series": tuple(map(_series, found)),
            }
        )
        if not self._states.put(record.model, record.version, state, after, now):
            return False, False
        of = {"model": record.model, "version": record.version}
        self._emit(
            closed,
            of,
            {
                "PerformanceStatus": (_LEVELS.get(status, 0), "None"),
                "PerformanceObserved": (_LEVELS.get(observed, 0), "None"),
                "OutcomesJudged": (len(current), "Count"),
            },
        )
        return True, changed

    def _begin(
        self, record: VersionRecord, state: DeclineState, closed: Micros, now: Micros
    ) -> None:
        """Pin the baseline once there are enough outcomes."""
        first = closed - _LONGEST
        found = self._scored(record, first, closed)
        if found is not None and len(found) >= REFERENCE:
            after = state.model_copy(
                update={"reference_start": first, "reference_end": closed, "until": closed}
            )
            self._states.put(record.model, record.version, state, after, now)

    def _scored(self, record: VersionRecord, start: Micros, end: Micros) -> Scored | None:
        """Answered predictions of a version whose outcome was observed in ``[start, end)``."""
        shape = shape_of(record.signature)
        if shape is None or start >= end:
            return None
        read = self._reader.read(Join(record.model, record.version, start, end, "observed"))
        joined = next((one for one in read.versions if not one.shadow), None)
        return None if joined is None else scored_of(joined, shape).scored


def _series(found: Decline) -> DeclineSeries:
    return DeclineSeries(
        feature=found.metric,
        status=found.status,
        sentence=found.sentence,
        reference=found.reference,
        current=found.current,
        n_reference=found.n_reference,
        n_current=found.n_current,
        p=found.p,
    )


def _span(start: Micros, end: Micros) -> Span:
    return Span(start=from_micros(start), end=from_micros(end))
