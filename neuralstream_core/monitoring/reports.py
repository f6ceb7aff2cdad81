"""What `/monitoring/…` answers: registry, counters and profiles brought together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from neuralstream_core.errors import Invalid, NotFound, Unavailable
from neuralstream_core.monitoring.alarms import Alarm
from neuralstream_core.monitoring.drift import (
    DriftReport,
    DriftSummaries,
    DriftSummary,
    drift_report,
)
from neuralstream_core.monitoring.failures import Traffic, default_version, expected_refusals
from neuralstream_core.monitoring.layout import (
    HOUR,
    MINUTE,
    NO_VERSION,
    Window,
    named_window,
    window_between,
)
from neuralstream_core.monitoring.prometheus import exposition
from neuralstream_core.monitoring.stats import (
    ModelsStats,
    ModelStats,
    SplitCheck,
    split_check,
    version_stats,
)
from neuralstream_core.time import Clock, system_clock, to_micros

if TYPE_CHECKING:
    from neuralstream_core.monitoring.alarms import Alarms
    from neuralstream_core.monitoring.profile import Profile, ProfileCache
    from neuralstream_core.monitoring.reader import CounterReader, Counts
    from neuralstream_core.registry.records import ModelRecord, VersionRecord
    from neuralstream_core.registry.registry import Registry

__all__ = ["MAX_VERSIONS", "Reports", "VersionCounts"]

MAX_VERSIONS: Final = 200
"""Versions in one report over all models, those with traffic first."""
_DAY: Final = 24 * HOUR


@dataclass(frozen=True, slots=True)
class VersionCounts:
    """A version with its counts, and the profiles they were read under (the present one first)."""

    record: VersionRecord
    profiles: Sequence[Profile]
    counts: Counts


@dataclass(slots=True)
class _ModelCounts:
    model: ModelRecord
    versions: list[VersionCounts]
    unrouted: dict[str, int] = field(default_factory=dict)


class Reports:
    """Reports of one namespace.

    Raises (every method):
        NotFound: no such model or version.
        Unavailable: the registry, Redis, the archive or a profile cannot be reached.
    """

    def __init__(
        self,
        registry: Registry,
        reader: CounterReader,
        profiles: ProfileCache,
        alarms: Alarms,
        *,
        clock: Clock = system_clock,
    ) -> None:
        self._registry = registry
        self._reader = reader
        self._profiles = profiles
        self._alarms = alarms
        self._clock = clock

    def drift(self, model: str, version: str | None, window: Window) -> DriftReport:
        """Drift of a version; of the one in production, or else the latest, when none is named."""
        default = default_version(self._registry.model(model))
        version = version or default
        if version is None:
            raise NotFound(f"model {model} has no version", code="version_not_found")
        seen = self._read(self._registry.version(model, version), window)
        unrouted = self._unrouted(model, window) if version == default else {}
        return self._drift(seen, window, self._alarms.get(model, version), unrouted)

    def drifts(self, window: Window) -> DriftSummaries:
        """Every version with traffic in the window, in short."""
        summaries: list[DriftSummary] = []
        for (model, version), unrouted in self._judged(window).items():
            try:
                seen = self._read(self._registry.version(model, version), window)
            except NotFound:
                continue
            report = self._drift(seen, window, None, unrouted)
            summaries.append(
                DriftSummary(
                    model=model,
                    version=version,
                    status=report.status,
                    summary=report.summary,
                    rows=report.rows,
                    error_rate=report.error_rate,
                    drifted=[s.feature for s in report.series if s.status.alarming],
                )
            )
        summaries.sort(key=lambda s: (-s.status.rank, s.model, s.version))
        return DriftSummaries(window=window.span(), models=summaries)

    def stats(self, model: str, window: Window) -> ModelStats:
        """Statistics of one model's versions with traffic, and of those that should have some."""
        record = self._registry.model(model)
        versions = {v: d for (m, v), d in self._reader.active(window).items() if m == model}
        return self._stats(record, versions, window)

    def all_stats(self, window: Window) -> ModelsStats:
        """Statistics of every model with traffic."""
        found: list[ModelStats] = []
        by_model: dict[str, dict[str, set[str]]] = {}
        for (model, version), digests in sorted(self._reader.active(window).items())[:MAX_VERSIONS]:
            by_model.setdefault(model, {})[version] = digests
        for model, versions in sorted(by_model.items()):
            try:
                record = self._registry.model(model)
            except NotFound:
                continue
            found.append(self._stats(record, versions, window))
        return ModelsStats(models=found)

    def metrics(self) -> str:
        """Prometheus text: counters since 00:00 UTC, drift of the last hour."""
        now = self._clock()
        today = Window(now // _DAY * _DAY, now, minutes=False)
        hour = named_window("1h", now)
        recent = self._judged(hour)
        versions: list[VersionCounts] = []
        drifts: list[DriftReport] = []
        unrouted: dict[str, dict[str, int]] = {}
        for model, version in sorted({*self.active(today), *recent}):
            if version == NO_VERSION:
                counts = self._reader.read(model, NO_VERSION, [], today)
                unrouted[model] = counts.service.request_errors
                continue
            try:
                record = self._registry.version(model, version)
            except NotFound:
                continue
            versions.append(self._read(record, today))
            if (model, version) in recent:
                lately = recent[model, version]
                drifts.append(self._drift(self._read(record, hour), hour, None, lately))
        return exposition(versions, unrouted, drifts)

    def active(self, window: Window) -> list[tuple[str, str]]:
        """Versions with traffic in the window, at most `MAX_VERSIONS`."""
        return sorted(self._reader.active(window))[:MAX_VERSIONS]

    def counts(self, model: str, version: str, window: Window) -> VersionCounts:
        """The counts of one version."""
        return self._read(self._registry.version(model, version), window)

    # -- parts -----------------------------------------------------------------------------------

    def _read(
        self, record: VersionRecord, window: Window, digests: Iterable[str] = ()
    ) -> VersionCounts:
        """Counts under the present profile, and under former ones among ``digests``."""
        profiles = [*self._profiles.of(record)]
        for digest in sorted(set(digests) - {profile.digest for profile in profiles}):
            with suppress(Unavailable, Invalid):  # a profile that is gone leaves nothing to name
                profiles.append(self._profiles(digest))
        counts = self._reader.read(record.model, record.version, profiles, window)
        return VersionCounts(record, profiles, counts)

    def _unrouted(self, model: str, window: Window) -> dict[str, int]:
        """Rows that failed before a version was chosen, by code."""
        return self._reader.read(model, NO_VERSION, [], window).service.failed_rows()

    def _judged(self, window: Window) -> dict[tuple[str, str], dict[str, int]]:
        """Versions with traffic, and the rows without a version that count with each of them."""
        found: dict[tuple[str, str], dict[str, int]] = {}
        for model, version in self.active(window):
            if version != NO_VERSION:
                found.setdefault((model, version), {})
                continue
            try:
                default = default_version(self._registry.model(model))
            except NotFound:
                continue
            if default is not None:
                found[model, default] = self._unrouted(model, window)
        return found

    def _drift(
        self,
        seen: VersionCounts,
        window: Window,
        alarm: Alarm | None,
        unrouted: Mapping[str, int],
    ) -> DriftReport:
        """The report; ``unrouted`` failed before a version was chosen and count with this one."""
        profile = seen.profiles[0]
        service = seen.counts.service
        traffic = Traffic()
        traffic.add(seen.counts.rows(), service.failed_rows(), service.counters["lost"])
        traffic.add(0, unrouted, 0)
        return drift_report(
            seen.record.model,
            seen.record.version,
            window,
            profile,
            seen.counts.series[profile.digest],
            traffic=traffic,
            refusals=expected_refusals(seen.record, profile),
            features=seen.record.features,
            alarm=alarm,
        )

    def _gather(
        self, model: ModelRecord, versions: Mapping[str, set[str]], window: Window
    ) -> _ModelCounts:
        found = _ModelCounts(model, [])
        wanted = {*versions, *(model.ab_split or ())} - {NO_VERSION}
        if model.production_version is not None:
            wanted.add(model.production_version)
        for name in sorted(wanted, key=lambda v: int(v[1:])):
            try:
                record = self._registry.version(model.name, name)
            except NotFound:
                continue
            found.versions.append(self._read(record, window, versions.get(name, ())))
        if NO_VERSION in versions:
            unrouted = self._reader.read(model.name, NO_VERSION, [], window)
            found.unrouted = unrouted.service.request_errors
        return found

    def _stats(
        self, model: ModelRecord, versions: Mapping[str, set[str]], window: Window
    ) -> ModelStats:
        seen = self._gather(model, versions, window)
        routed = {
            v.record.version: v.counts.rows() - v.counts.service.counters["pinned"]
            for v in seen.versions
        }
        total = sum(routed.values())
        configured = model.ab_split or (
            {model.production_version: 1.0} if model.production_version is not None else {}
        )
        return ModelStats(
            model=model.name,
            window=window.span(),
            versions=[
                version_stats(
                    v.record.version,
                    v.record.stage,
                    v.counts,
                    v.profiles,
                    traffic_share=routed[v.record.version] / total if total else None,
                    configured_share=configured.get(v.record.version, 0.0),
                )
                for v in seen.versions
            ],
            unrouted=seen.unrouted,
            split=self._split(model, seen, routed, window),
        )

    def _split(
        self, model: ModelRecord, seen: _ModelCounts, routed: dict[str, int], window: Window
    ) -> SplitCheck | None:
        """The check over the part of the window in which this split was in force."""
        if model.ab_split is None:
            return None
        # Any change of the model may have been one of its split; the minute of it is mixed.
        changed = -(-to_micros(model.updated_at) // MINUTE) * MINUTE
        start = window.start
        if changed > window.start:
            now = self._clock()
            if changed + MINUTE > min(now, window.end):
                return None
            since = window_between(changed, window.end, now)
            if not since.minutes:
                since = Window(-(-changed // HOUR) * HOUR, window.end, False)
                if since.start >= since.end:
                    return None
            start = since.start
            routed = {}
            for v in seen.versions:
                counts = self._reader.read(model.name, v.record.version, v.profiles, since)
                routed[v.record.version] = counts.rows() - counts.service.counters["pinned"]
        return split_check(routed, model.ab_split, start)
