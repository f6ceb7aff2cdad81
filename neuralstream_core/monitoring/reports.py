"""What `/monitoring/…` answers: registry, counters and profiles brought together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING, Final

from neuralstream_core.errors import Invalid, NotFound, Unavailable
from neuralstream_core.history.consistency import ConsistencyReports, ViewConsistency
from neuralstream_core.monitoring.drift import (
    Alarm,
    DriftReport,
    DriftSummaries,
    DriftSummary,
    drift_report,
)
from neuralstream_core.monitoring.failures import (
    Traffic,
    default_version,
    expected_refusals,
    judged_versions,
)
from neuralstream_core.monitoring.layout import (
    HOUR,
    MINUTE,
    NO_VERSION,
    SHADOW,
    Window,
    named_window,
    window_between,
)
from neuralstream_core.monitoring.prometheus import exposition
from neuralstream_core.monitoring.stats import (
    ModelsStats,
    ModelStats,
    SplitCheck,
    VersionCounts,
    split_check,
    version_stats,
)
from neuralstream_core.time import Clock, system_clock, to_micros

if TYPE_CHECKING:
    from neuralstream_core.monitoring.evaluation import Alarms
    from neuralstream_core.monitoring.profile import ProfileCache
    from neuralstream_core.monitoring.reader import CounterReader, ServiceCounts
    from neuralstream_core.registry.records import ModelRecord, VersionRecord
    from neuralstream_core.registry.registry import Registry

__all__ = ["Reports"]

_MAX_VERSIONS: Final = 200
"""Versions in one report over all models, those with traffic first."""
_DAY: Final = 24 * HOUR


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
        consistency: ConsistencyReports | None = None,
        clock: Clock = system_clock,
    ) -> None:
        self._registry = registry
        self._reader = reader
        self._profiles = profiles
        self._alarms = alarms
        self._consistency = consistency
        self._clock = clock

    def drift(
        self, model: str, version: str | None, window: Window, *, all_bins: bool = False
    ) -> DriftReport:
        """Drift of a version; of the one in production, or else the latest, when none is named.

        ``all_bins``: with every group of values, not only those that moved most.
        """
        default = default_version(self._registry.model(model))
        version = version or default
        if version is None:
            raise NotFound(f"model {model} has no version", code="version_not_found")
        seen = self._read(self._registry.version(model, version), window)
        unrouted = self._unrouted(model, window).failed_rows() if version == default else {}
        alarm = self._alarms.get(model, version)
        return self._drift(seen, window, unrouted, alarm, all_bins=all_bins)

    def drifts(self, window: Window) -> DriftSummaries:
        """Every version with traffic in the window, in short."""
        summaries: list[DriftSummary] = []
        for (model, version), unrouted in self._judged(window).items():
            with suppress(NotFound):
                seen = self._read(self._registry.version(model, version), window)
                report = self._drift(seen, window, unrouted)
                drifted = [s.feature for s in report.series if s.status.alarming]
                summaries.append(DriftSummary(**dict(report), drifted=drifted))
        summaries.sort(key=lambda s: (-s.status.rank, s.model, s.version))
        return DriftSummaries(window=window.span(), models=summaries)

    def stats(self, model: str, window: Window) -> ModelStats:
        """Statistics of one model's versions with traffic, and of those that should have some."""
        record = self._registry.model(model)
        active = self._reader.active(window, shadows=True).items()
        versions = {v: d for (m, v), d in active if m == model}
        return self._stats(record, versions, window)

    def all_stats(self, window: Window) -> ModelsStats:
        """Statistics of every model with traffic."""
        found: list[ModelStats] = []
        active = sorted(self._reader.active(window, shadows=True).items())[:_MAX_VERSIONS]
        for model, versions in groupby(active, key=lambda item: item[0][0]):
            with suppress(NotFound):
                record = self._registry.model(model)
                found.append(self._stats(record, {v: d for (_, v), d in versions}, window))
        return ModelsStats(models=found, consistency=self._compared())

    def metrics(self) -> str:
        """Prometheus text: counters since 00:00 UTC, drift of the last hour."""
        now = self._clock()
        today = Window(now // _DAY * _DAY, now, minutes=False)
        hour = named_window("1h", now)
        recent = self._judged(hour)
        versions: list[VersionCounts] = []
        drifts: list[DriftReport] = []
        unrouted: dict[str, Mapping[str, int]] = {}
        for model, version in sorted({*self.active(today), *recent}):
            if version == NO_VERSION:
                unrouted[model] = self._unrouted(model, today).request_errors
                continue
            with suppress(NotFound):
                record = self._registry.version(model, version)
                versions.append(self._read(record, today))
                if (model, version) in recent:
                    lately = recent[model, version]
                    drifts.append(self._drift(self._read(record, hour), hour, lately))
        return exposition(versions, unrouted, drifts, self._compared())

    def _compared(self) -> list[ViewConsistency]:
        return [] if self._consistency is None else self._consistency.all()

    def active(self, window: Window) -> list[tuple[str, str]]:
        """Models and versions with traffic in the window, at most `_MAX_VERSIONS`."""
        return sorted(self._reader.active(window))[:_MAX_VERSIONS]

    # -- parts -----------------------------------------------------------------------------------

    def _read(
        self,
        record: VersionRecord,
        window: Window,
        digests: Iterable[str] = (),
        *,
        shadow: bool = False,
    ) -> VersionCounts:
        """Counts under the present profile, and under former ones among ``digests``; ``shadow``: of what it
        predicted without answering."""
        profiles = [*self._profiles.of(record)]
        for digest in sorted(set(digests) - {profile.digest for profile in profiles}):
            with suppress(Unavailable, Invalid):  # a profile that is gone leaves nothing to name
                profiles.append(self._profiles(digest))
        name = record.version + (SHADOW if shadow else "")
        counts = self._reader.read(record.model, name, profiles, window)
        return VersionCounts(record, profiles, counts)

    def _unrouted(self, model: str, window: Window) -> ServiceCounts:
        """Calls that failed before a version was chosen."""
        return self._reader.read(model, NO_VERSION, [], window).service

    def _judged(self, window: Window) -> dict[tuple[str, str], Mapping[str, int]]:
        """Versions with traffic, and the rows without a version that count with each of them."""
        judged = judged_versions(self.active(window), self._registry)
        return {
            key: self._unrouted(key[0], window).failed_rows() if default else {}
            for key, default in judged.items()
        }

    def _drift(
        self,
        seen: VersionCounts,
        window: Window,
        unrouted: Mapping[str, int],
        alarm: Alarm | None = None,
        *,
        all_bins: bool = False,
    ) -> DriftReport:
        """The report; ``unrouted`` failed before a version was chosen and count with this one."""
        profile = seen.profiles[0]
        service = seen.counts.service
        failed = service.failed_rows() + Counter(unrouted)
        return drift_report(
            seen.record.model,
            seen.record.version,
            window,
            profile,
            seen.counts.series[profile.digest],
            traffic=Traffic(seen.counts.rows(), failed, service.counters["lost"]),
            refusals=expected_refusals(seen.record, profile),
            features=seen.record.features,
            alarm=alarm,
            all_bins=all_bins,
        )

    def _stats(
        self, model: ModelRecord, versions: Mapping[str, set[str]], window: Window
    ) -> ModelStats:
        """``versions``: those with traffic, and the profiles they have counters under."""
        configured = model.ab_split or (
            {model.production_version: 1.0} if model.production_version is not None else {}
        )
        shadows = {v for v in versions if v.endswith(SHADOW)}
        wanted = {*versions, *configured} - {NO_VERSION} - shadows
        if model.production_version is not None:
            wanted.add(model.production_version)
        seen: list[VersionCounts] = []
        for name in sorted(wanted, key=lambda v: int(v[1:])):
            with suppress(NotFound):
                record = self._registry.version(model.name, name)
                seen.append(self._read(record, window, versions.get(name, ())))
        unanswered: list[VersionCounts] = []
        for name in sorted(shadows):
            with suppress(NotFound):
                record = self._registry.version(model.name, name.removesuffix(SHADOW))
                unanswered.append(self._read(record, window, versions[name], shadow=True))
        total = sum(v.routed for v in seen)
        unrouted = (
            self._unrouted(model.name, window).request_errors if NO_VERSION in versions else {}
        )
        return ModelStats(
            model=model.name,
            window=window.span(),
            versions=[
                version_stats(
                    v,
                    traffic_share=v.routed / total if total else None,
                    configured_share=configured.get(v.record.version, 0.0),
                )
                for v in seen
            ],
            shadows=[
                version_stats(v, traffic_share=None, configured_share=None) for v in unanswered
            ],
            unrouted=unrouted,
            split=self._split(model, seen, window),
        )

    def _split(
        self, model: ModelRecord, seen: Sequence[VersionCounts], window: Window
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
            seen = [self._read(v.record, since, (p.digest for p in v.profiles)) for v in seen]
        return split_check({v.record.version: v.routed for v in seen}, model.ab_split, start)
