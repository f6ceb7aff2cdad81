"""Scheduled drift evaluation: closed hours, each judged once, one announcement a change.

Windows are consecutive and disjoint, so that two alarming ones are two independent witnesses. A window is
the shortest run of closed hours since the last one that has enough rows, at most a day of them.

A version without a baseline has only its failed rows to be judged by; once it has an alarm for them, its
windows of enough rows without another one clear it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from neuralstream_core.errors import NotFound
from neuralstream_core.monitoring.alarms import Alarms, State
from neuralstream_core.monitoring.decision import MIN_SAMPLES, DriftStatus
from neuralstream_core.monitoring.drift import DriftReport, drift_report
from neuralstream_core.monitoring.failures import Traffic, default_version, expected_refusals
from neuralstream_core.monitoring.layout import HOUR, MINUTE, NO_VERSION, last_hours
from neuralstream_core.monitoring.stats import latency_of
from neuralstream_core.time import Clock, Micros, iso, system_clock, to_micros

if TYPE_CHECKING:
    from neuralstream_core.monitoring.profile import ProfileCache
    from neuralstream_core.monitoring.reader import CounterReader, Counts
    from neuralstream_core.registry.registry import Registry

__all__ = ["Evaluation"]

_PATIENCE: Final = 24
"""Hours that are put together at most until there are enough rows."""
_GRACE: Final = 2 * MINUTE
_SERIES_TOLD: Final = 10


Metrics: TypeAlias = Mapping[str, tuple[float, str]]
"""Value and CloudWatch unit (``Count``, ``Milliseconds``, ``Percent``, ``None``) by metric name."""


class Emit(Protocol):
    """Where metrics go."""

    def __call__(self, at: Micros, dimensions: Mapping[str, str], metrics: Metrics) -> None:
        """Publish ``metrics`` as of ``at``, all with the same ``dimensions``."""
        ...


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
        clock: Clock = system_clock,
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
        states: dict[str, Any] = {}
        unrouted = self._defaults({model for model, version in active if version == NO_VERSION})
        versions = {key for key in active if key[1] != NO_VERSION} | set(unrouted.items())
        for model, version in sorted(versions):
            if model not in states:
                states[model] = self._alarms.states(model)
            state = states[model].get(version, State())
            default = unrouted.get(model) == version
            judged, changed = self._version(model, version, state, closed, now, default=default)
            windows += judged
            changes += changed
        return {"versions": len(active), "windows": windows, "changes": changes}

    def _defaults(self, models: set[str]) -> dict[str, str]:
        """The version with which calls count that failed before one was chosen, by model."""
        found: dict[str, str] = {}
        for model in models:
            try:
                version = default_version(self._registry.model(model))
            except NotFound:
                continue
            if version is not None:
                found[model] = version
        return found

    def _version(
        self, model: str, version: str, state: State, closed: int, now: Micros, *, default: bool
    ) -> tuple[int, int]:
        """Judge what has closed; ``default``: calls without a version count with this one."""
        try:
            record = self._registry.version(model, version)
        except NotFound:
            return 0, 0
        profiles = self._profiles.of(record)
        profile = profiles[0]
        first = max(min(state.until, state.metered) // HOUR, closed - _PATIENCE)
        hours = self._reader.hourly(model, version, profiles, range(first, closed))
        unrouted = (
            self._reader.hourly(model, NO_VERSION, [], range(first, closed)) if default else {}
        )
        refusals = expected_refusals(record, profile)
        state = self._meter(model, version, state, hours, closed)
        start = max(state.until // HOUR, closed - _PATIENCE)
        slots, traffic = None, Traffic()
        judged = changes = 0
        for hour in range(start, closed):
            counts = hours[hour]
            here = counts.series[profile.digest]
            slots = here if slots is None else slots + here
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
            if observed is DriftStatus.INSUFFICIENT_DATA or observed is DriftStatus.NO_REFERENCE:
                continue
            after = self._alarms.advance(
                model, version, state, observed, window.end, now, _details(report)
            )
            if after is None:
                break  # another run has judged this window
            judged += 1
            changes += after.sequence - state.sequence
            self._emit(
                to_micros(report.window.end),
                {"model": model, "version": version},
                _drift_metrics(report, after),
            )
            state, start, slots, traffic = after, hour + 1, None, Traffic()
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
        for hour, counts in hours.items():
            if hour * HOUR >= state.metered and (
                counts.service.counters["requests"] or counts.rows()
            ):
                self._emit(
                    hour * HOUR,
                    {"model": model, "version": version},
                    _service_metrics(counts),
                )
        return after


def _details(report: DriftReport) -> dict[str, Any]:
    return {
        "window": {
            "start": iso(to_micros(report.window.start)),
            "end": iso(to_micros(report.window.end)),
        },
        "summary": report.summary,
        "rows": report.rows,
        "failed": report.failed,
        "error_rate": report.error_rate,
        "series": [
            {
                "feature": s.feature,
                "kind": s.kind,
                "status": str(s.status),
                "sentence": s.sentence,
                "psi": s.psi,
                "reasons": s.reasons,
            }
            for s in report.series[:_SERIES_TOLD]
            if s.status.alarming
        ],
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
