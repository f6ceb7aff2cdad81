"""Scheduled drift evaluation: closed hours, each judged once, and the alarm that each version has from them.

Windows are consecutive and disjoint, so that two alarming ones are two independent observations. A window
is the shortest run of closed hours since the last one that has enough rows, at most a day of them.

A version without a baseline has only its failed rows to be judged by; once it has an alarm for them, its
windows of enough rows without another one clear it.

Owned items, ``PK = DRIFT#{namespace}#{model}``, ``SK = VERSION#{version}``: a `State`. A change of status is
written together with an ``outbox`` attribute, which the table's stream brings to the announce function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from neuralstream_core.errors import ConditionFailed, NotFound
from neuralstream_core.monitoring.baseline import alarm_key
from neuralstream_core.monitoring.decision import MIN_SAMPLES, DriftStatus
from neuralstream_core.monitoring.drift import Alarm, DriftReport, drift_report
from neuralstream_core.monitoring.failures import Traffic, expected_refusals, judged_versions
from neuralstream_core.monitoring.layout import HOUR, MINUTE, NO_VERSION, last_hours
from neuralstream_core.monitoring.stats import latency_of
from neuralstream_core.time import Clock, Micros, from_micros, iso, to_micros
from neuralstream_core.types import Record

if TYPE_CHECKING:
    from neuralstream_core.monitoring.profile import ProfileCache
    from neuralstream_core.monitoring.reader import CounterReader, Counts
    from neuralstream_core.registry.records import VersionRecord
    from neuralstream_core.registry.registry import Registry
    from neuralstream_core.table import Item, Table

__all__ = ["Alarms", "Emit", "Evaluation", "Metrics", "State", "next_status"]

_PATIENCE: Final = 24
"""Hours that are put together at most until there are enough rows."""
_GRACE: Final = 2 * MINUTE
_SERIES_TOLD: Final = 10
_WINDOWS: Final = 3
_PREFIX: Final = "VERSION#"

Metrics: TypeAlias = Mapping[str, tuple[float, str]]
"""Value and CloudWatch unit (``Count``, ``Milliseconds``, ``Percent``, ``None``) by metric name."""
Emit: TypeAlias = Callable[[Micros, Mapping[str, str], Metrics], None]
"""Publishes metrics as of a time, all with the same dimensions."""


class State(Record):
    """What is known of one version's drift.

    Attributes:
        status: the alarm as announced, ``since`` then.
        recent: statuses of the last windows, the latest last.
        until: end of the last window evaluated.
        sequence: how many changes there have been; part of an event's identity.
        metered: end of the last hour whose traffic was handed to CloudWatch.
    """

    status: DriftStatus = DriftStatus.OK
    since: Micros = 0
    recent: tuple[DriftStatus, ...] = ()
    until: Micros = 0
    sequence: int = 0
    metered: Micros = 0


def next_status(state: State, observed: DriftStatus) -> tuple[DriftStatus, tuple[DriftStatus, ...]]:
    """The alarm after one more window.

    Opens when two of the last three windows are alarming, with the worst they agree on; clears after
    two windows in a row without. A window that could not be judged changes nothing.

    Returns:
        the status and the statuses of the last windows.
    """
    if observed in (DriftStatus.INSUFFICIENT_DATA, DriftStatus.NO_REFERENCE):
        return state.status, state.recent
    recent = (*state.recent, observed)[-_WINDOWS:]
    agreed = DriftStatus.OK
    if len(recent) > 1:
        agreed = sorted(recent, key=lambda status: status.rank)[-2]
    lately = recent[-2:]
    if not state.status.alarming or agreed.rank > state.status.rank:
        return agreed, recent
    if len(lately) == 2 and not any(status.alarming for status in lately):
        return DriftStatus.OK, recent
    if lately == (DriftStatus.WARNING, DriftStatus.WARNING):
        return DriftStatus.WARNING, recent
    return state.status, recent


class Alarms:
    """The stored alarms of a namespace.

    Raises (every method):
        Unavailable: the table cannot be reached.
    """

    def __init__(self, table: Table, namespace: str) -> None:
        self._table = table
        self._namespace = namespace

    def get(self, model: str, version: str) -> Alarm | None:
        """The alarm of a version that was evaluated."""
        item = self._table.get(alarm_key(self._namespace, model), _PREFIX + version)
        if item is None:
            return None
        state = State.model_validate(item)
        if not state.since:
            return None  # its metrics were sent, and no window of it had rows enough to be judged
        return Alarm(
            status=state.status,
            since=from_micros(state.since),
            evaluated=from_micros(state.until) if state.until else None,
        )

    def states(self, model: str) -> Mapping[str, State]:
        """All that is known of a model, by version."""
        items = self._table.query_all(alarm_key(self._namespace, model), prefix=_PREFIX)
        return {item["SK"].removeprefix(_PREFIX): State.model_validate(item) for item in items}

    def meter(self, model: str, version: str, state: State, until: Micros) -> State | None:
        """Claim the hours up to ``until`` for metrics; ``None`` when another run has them."""
        try:
            self._table.update(
                alarm_key(self._namespace, model),
                _PREFIX + version,
                "SET metered = :until REMOVE outbox",
                condition="attribute_not_exists(metered) OR metered = :before",
                values={":until": until, ":before": state.metered},
            )
        except ConditionFailed:
            return None
        return state.model_copy(update={"metered": until})

    def advance(
        self, state: State, report: DriftReport, observed: DriftStatus, now: Micros
    ) -> State | None:
        """Store the state after one more window, and the event if the alarm changes.

        Args:
            report: of the window.
            observed: what the window counts as.

        Returns:
            the new state; ``None`` when another evaluation was there first.
        """
        model, version = report.model, report.version
        status, recent = next_status(state, observed)
        changed = status is not state.status
        after = State(
            status=status,
            since=now if changed or not state.since else state.since,
            recent=recent,
            until=to_micros(report.window.end),
            sequence=state.sequence + changed,
            metered=state.metered,
        )
        item: Item = {
            "PK": alarm_key(self._namespace, model),
            "SK": _PREFIX + version,
            **after.model_dump(mode="json"),
        }
        if changed:
            item["outbox"] = {
                "kind": "drift_changed",
                "id": f"{self._namespace}:{model}:{version}:{after.sequence}",
                "namespace": self._namespace,
                "model": model,
                "version": version,
                "status": str(status),
                "previous": str(state.status),
                "at": iso(now),
                **_details(report),
            }
        try:
            self._table.put(
                item,
                condition="attribute_not_exists(#until) OR #until = :before",
                names={"#until": "until"},
                values={":before": state.until},
            )
        except ConditionFailed:
            return None
        return after


class Evaluation:
    """Judges what has closed since the last run.

    Args:
        emit: publishes the metrics of a judged window or a closed hour.

    Raises (every method):
        Unavailable: the registry, Redis, the archive or a profile cannot be reached; what was already
            judged is stored, and the next run goes on from there.
    """

    def __init__(
        self,
        registry: Registry,
        reader: CounterReader,
        profiles: ProfileCache,
        alarms: Alarms,
        *,
        emit: Emit,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._reader = reader
        self._profiles = profiles
        self._alarms = alarms
        self._clock = clock
        self._emit = emit

    def run(self) -> dict[str, int]:
        """Evaluate every version with traffic; says how many windows and changes there were."""
        now = self._clock()
        closed = (now - _GRACE) // HOUR
        windows = changes = 0
        active = self._reader.active(last_hours(closed - _PATIENCE, closed))
        states: dict[str, Mapping[str, State]] = {}
        for (model, version), default in sorted(judged_versions(active, self._registry).items()):
            with suppress(NotFound):
                record = self._registry.version(model, version)
                if model not in states:
                    states[model] = self._alarms.states(model)
                state = states[model].get(version, State())
                judged, changed = self._version(record, state, closed, now, default=default)
                windows += judged
                changes += changed
        return {"versions": len(active), "windows": windows, "changes": changes}

    def _version(
        self, record: VersionRecord, state: State, closed: int, now: Micros, *, default: bool
    ) -> tuple[int, int]:
        """Judge what has closed; ``default``: calls without a version count with this one."""
        model, version = record.model, record.version
        profiles = self._profiles.of(record)
        profile = profiles[0]
        first = max(min(state.until, state.metered) // HOUR, closed - _PATIENCE)
        span = range(first, closed)
        hours = self._reader.hourly(model, version, profiles, span)
        unrouted = self._reader.hourly(model, NO_VERSION, [], span) if default else {}
        refusals = expected_refusals(record, profile)
        state = self._meter(model, version, state, hours, closed)
        start = max(state.until // HOUR, closed - _PATIENCE)
        slots, traffic = np.zeros(profile.size, np.int64), Traffic()
        judged = changes = 0
        for hour in range(start, closed):
            counts = hours[hour]
            slots = slots + counts.series[profile.digest]
            service = counts.service
            traffic.add(counts.rows(), service.failed_rows(), service.counters["lost"])
            if hour in unrouted:
                traffic.add(0, unrouted[hour].service.failed_rows(), 0)
            window = last_hours(start, hour + 1)
            report = drift_report(
                model,
                version,
                window,
                profile,
                slots,
                traffic=traffic,
                refusals=refusals,
                features=record.features,
            )
            observed = report.status
            if observed is DriftStatus.NO_REFERENCE and state.recent:
                enough = traffic.rows >= MIN_SAMPLES
                observed = DriftStatus.OK if enough else DriftStatus.INSUFFICIENT_DATA
            if observed in (DriftStatus.INSUFFICIENT_DATA, DriftStatus.NO_REFERENCE):
                continue
            after = self._alarms.advance(state, report, observed, now)
            if after is None:
                break  # another run has judged this window
            judged += 1
            changes += after.sequence - state.sequence
            of = {"model": model, "version": version}
            self._emit(window.end, of, _drift_metrics(report, after))
            state, start = after, hour + 1
            slots, traffic = np.zeros_like(slots), Traffic()
        return judged, changes

    def _meter(
        self, model: str, version: str, state: State, hours: Mapping[int, Counts], closed: int
    ) -> State:
        """Hand the traffic of newly closed hours to CloudWatch, each hour once."""
        if state.metered >= closed * HOUR:
            return state
        after = self._alarms.meter(model, version, state, closed * HOUR)
        if after is None:
            return state
        of = {"model": model, "version": version}
        for hour, counts in hours.items():
            if hour * HOUR >= state.metered and (
                counts.service.counters["requests"] or counts.rows()
            ):
                self._emit(hour * HOUR, of, _service_metrics(counts))
        return after


def _details(report: DriftReport) -> dict[str, Any]:
    told = {"window", "summary", "rows", "failed", "error_rate"}
    of_series = {"feature", "kind", "status", "sentence", "psi", "reasons"}
    return report.model_dump(mode="json", include=told) | {
        "series": [
            series.model_dump(mode="json", include=of_series)
            for series in report.series[:_SERIES_TOLD]
            if series.status.alarming
        ]
    }


def _drift_metrics(report: DriftReport, state: State) -> Metrics:
    level = {DriftStatus.WARNING: 1, DriftStatus.DRIFT: 2}
    return {
        "DriftStatus": (level.get(state.status, 0), "None"),
        "DriftObserved": (level.get(report.status, 0), "None"),
        "DriftedSeries": (sum(s.status.alarming for s in report.series), "Count"),
        "MaxPsi": (max((s.psi for s in report.series if s.psi is not None), default=0), "None"),
        "ErrorRate": (100 * (report.error_rate or 0.0), "Percent"),
    }


def _service_metrics(counts: Counts) -> Metrics:
    counters = counts.service.counters
    metrics: dict[str, tuple[float, str]] = {
        "Requests": (counters["requests"], "Count"),
        "Errors": (counters["failed"], "Count"),
        "Predictions": (counts.rows(), "Count"),
        "FailedRows": (counters["failed_rows"], "Count"),
        "ColdStarts": (counters["cold"], "Count"),
        "RecordingLost": (counters["lost"], "Count"),
    }
    for part, latency in latency_of(counts.service.latency).items():
        if latency.p50 is not None and latency.p99 is not None:
            metrics[f"{part.title()}LatencyP50"] = (latency.p50, "Milliseconds")
            metrics[f"{part.title()}LatencyP99"] = (latency.p99, "Milliseconds")
    return metrics
