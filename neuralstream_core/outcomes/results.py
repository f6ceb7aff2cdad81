"""What `/models/{name}/ab-split/results` answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from neuralstream_core.errors import Conflict, Invalid
from neuralstream_core.monitoring.statistics import goodness_of_fit
from neuralstream_core.monitoring.stats import MISMATCH
from neuralstream_core.outcomes.answers import (
    SplitResults,
    TrafficCheck,
    VersionComparison,
    VersionResult,
)
from neuralstream_core.outcomes.asked import AskedResults
from neuralstream_core.outcomes.experiment import COMPARABLE, Compared, Routed, compared
from neuralstream_core.outcomes.joined import Join, Joined
from neuralstream_core.outcomes.metrics import METRICS, measure
from neuralstream_core.outcomes.scoring import scored_of
from neuralstream_core.outcomes.sentences import comparison_sentence
from neuralstream_core.outcomes.verdicts import verdict
from neuralstream_core.registry.trail import Phase, last_split
from neuralstream_core.time import Clock, Micros, from_micros

if TYPE_CHECKING:
    from neuralstream_core.outcomes.performance import Performances
    from neuralstream_core.outcomes.reading import OutcomeReader
    from neuralstream_core.registry.registry import Registry

__all__ = ["Experiments"]

_DAY: Final[Micros] = 86_400 * 1_000_000
_LONGEST: Final = 93 * _DAY
"""How far back outcomes are looked at."""
_FORESEEN: Final = 3650 * 86_400.0
"""Seconds from now beyond which no time is named."""


class Experiments:
    """Reports of one namespace.

    Raises (every method):
        NotFound: no such model.
        Conflict: its traffic was never split.
        Invalid: the measure is none of this kind of model.
        TooLarge: there are too many predictions for this deployment.
        Unavailable: the registry or the history cannot be reached.
    """

    def __init__(
        self, registry: Registry, reader: OutcomeReader, performances: Performances, clock: Clock
    ) -> None:
        self._registry, self._reader, self._clock = registry, reader, clock
        self._performances = performances

    def report(self, asked: AskedResults) -> SplitResults:
        """The versions of the split that runs, or else of the last one, compared with production."""
        self._registry.model(asked.model)
        now = self._clock()
        phases = _clipped(last_split(self._registry, asked.model), asked.start, now)
        last = phases[-1]
        start, end = phases[0].start, now if last.end is None else last.end
        join = Join(asked.model, None, start, end, since=last.start)
        read = self._reader.read(join)
        versions = {v for phase in phases for v in phase.weights}
        joined = {j.version: j for j in read.versions if not j.shadow and j.version in versions}
        base = _base(last)
        routed = self._routed(asked.model, joined)
        metric = _metric(asked, routed)
        challengers = sorted(versions - {base}, key=lambda version: int(version[1:]))
        found: dict[str, list[VersionComparison]] = {}
        primary: list[VersionComparison] = []
        for version in challengers:
            both = [p for p in phases if version in p.weights and base in p.weights]
            found[version] = []
            for name in COMPARABLE:
                if version not in routed or base not in routed or not both:
                    continue
                one = compared(
                    routed[version],
                    routed[base],
                    both,
                    name,
                    asked.alpha / len(challengers),
                    asked.effect if name == metric else None,
                )
                if one is not None:
                    told = _comparison(version, base, one, end - both[0].start, now, last.end)
                    found[version].append(told)
                    if name == metric:
                        primary.append(told)
        traffic = _traffic(last, joined)
        return SplitResults(
            model=asked.model,
            running=last.end is None,
            start=from_micros(start),
            end=from_micros(end),
            production=base,
            metric=metric,
            alpha=asked.alpha,
            versions=[
                _version(version, last, joined.get(version), routed.get(version))
                for version in sorted(versions, key=lambda version: int(version[1:]))
            ],
            comparisons=[told for version in challengers for told in found[version]],
            traffic=traffic,
            unmatched=read.unmatched,
            verdict=verdict(primary, base, metric, challengers, traffic),
        )

    def _routed(self, model: str, joined: Mapping[str, Joined]) -> dict[str, Routed]:
        """What of each version can be compared: its predictions for an entity."""
        found: dict[str, Routed] = {}
        for version, each in joined.items():
            shape = self._performances.shape(model, version)
            if shape is None:
                continue
            scored, rows, _ = scored_of(each, shape)
            entity = each.entity[rows]
            with_one = np.flatnonzero(entity)
            if len(with_one):
                found[version] = Routed(scored.take(with_one), entity[with_one])
        return found


def _clipped(phases: Sequence[Phase], start: Micros | None, now: Micros) -> list[Phase]:
    """The phases from ``start`` on, and not further back than reports reach.

    Raises:
        Conflict: there are none.
    """
    if not phases:
        raise Conflict("the traffic of this model was never split", code="no_split")
    first = max(start or 0, now - _LONGEST)
    kept = [
        phase._replace(start=max(phase.start, first))
        for phase in phases
        if phase.end is None or phase.end > first
    ]
    if not kept or kept[0].start > now:
        raise Conflict("the last split had ended by then", code="no_split")
    return kept


def _base(phase: Phase) -> str:
    """The version that the others are compared with: production, or else the one with most traffic."""
    if phase.production in phase.weights:
        return str(phase.production)
    return max(phase.weights, key=lambda version: phase.weights[version])


def _metric(asked: AskedResults, routed: Mapping[str, Routed]) -> str:
    """The measure of the verdict.

    Raises:
        Invalid: it is none by which versions of this kind are compared.
    """
    kinds = {each.scored.kind for each in routed.values()}
    able = [name for name in COMPARABLE if not kinds or METRICS[name].kind in kinds]
    if asked.metric is None:
        return able[0]
    if asked.metric not in able:
        raise Invalid.at("query.metric", f"must be one of {', '.join(able)}")
    return asked.metric


def _version(
    version: str, last: Phase, joined: Joined | None, routed: Routed | None
) -> VersionResult:
    return VersionResult(
        version=version,
        share=last.weights.get(version, 0.0),
        predictions=0.0 if joined is None else joined.predictions,
        matched=0.0 if joined is None else joined.matched,
        coverage=joined.matched / joined.predictions if joined and joined.predictions else None,
        n=0 if routed is None else len(routed.scored),
        entities=0 if routed is None else len(np.unique(routed.entity)),
        metrics={} if routed is None else measure(routed.scored),
    )


def _comparison(
    version: str, base: str, one: Compared, elapsed: Micros, now: Micros, ended: Micros | None
) -> VersionComparison:
    seen = one.seen
    seconds: float | None = None
    if ended is None and one.needed is not None and seen.n:
        seconds = max(0, one.needed - seen.n) * elapsed / seen.n / 1_000_000
        seconds = None if seconds > _FORESEEN else seconds
    return VersionComparison(
        version=version,
        metric=one.metric.name,
        value=seen.value,
        low=seen.low,
        high=seen.high,
        better=one.better,
        entities=seen.n,
        detectable=one.detectable,
        effect=one.effect,
        needed=one.needed,
        ready_at=None if seconds is None else from_micros(now + round(seconds * 1_000_000)),
        sentence=comparison_sentence(
            version,
            base,
            one.metric,
            (one.arm, one.base),
            seen,
            effect=one.effect,
            needed=one.needed,
            seconds=seconds,
        ),
    )


def _traffic(last: Phase, joined: Mapping[str, Joined]) -> TrafficCheck | None:
    """Entities of each version since the weights are what they are, against the weights."""
    names = sorted(last.weights)
    observed = np.array([joined[v].entities if v in joined else 0 for v in names], np.int64)
    n = int(observed.sum())
    if not n or len(names) < 2:
        return None
    _, p = goodness_of_fit(observed, np.array([last.weights[version] for version in names]))
    return TrafficCheck(
        start=from_micros(last.start),
        entities=dict(zip(names, observed.tolist(), strict=True)),
        p=p,
        mismatch=p < MISMATCH,
    )
