"""Rules of a guard about performance, judged on all outcomes known by now.

A rule is judged at every evaluation, so ordinary intervals would be wrong far too often. Each is judged by a
confidence sequence (`neuralstream_core.outcomes.sequences`) instead, which is wrong at any look at all with
no more than its level; the level is the budget of false trips, shared by the rules and versions
(`neuralstream_core.outcomes.guards`). A bound is broken when all values that the sequence leaves possible lie
beyond it.

* At most or at least a bound: the sequence of one mean against the bound. The variance of an accuracy is
  taken no smaller than that at the bound: few outcomes without an error are else too sure of themselves.
* Worse than the baseline: the sequence of the difference of two means. Of ``rmse``, whose means are squares,
  the bound is that on the squares with the baseline's as it was measured. In a split it is the comparison
  of `neuralstream_core.outcomes.experiment`, which a change over time during a ramp does not deceive.

In a split an entity counts once, with the mean of its outcomes, as it is entities that are given to versions.
Otherwise each outcome counts by itself.

Looked at are the predictions since the version began to take traffic, at most of the last 7 days; of the
baseline without a split, those of the 7 days before that.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from neuralstream_core.monitoring.layout import MINUTE
from neuralstream_core.outcomes.experiment import COMPARABLE, Routed, compared
from neuralstream_core.outcomes.guards import FALSE_TRIPS, PREFIX, Judged
from neuralstream_core.outcomes.joined import Join, Joined
from neuralstream_core.outcomes.metrics import METRICS, losses
from neuralstream_core.outcomes.scoring import scored_of, shape_of
from neuralstream_core.outcomes.sequences import Arm, arm_of, around, compare
from neuralstream_core.registry.trail import last_split
from neuralstream_core.time import Clock, Micros, to_micros

if TYPE_CHECKING:
    from neuralstream_core.outcomes.reading import OutcomeReader
    from neuralstream_core.registry.records import ModelRecord
    from neuralstream_core.registry.registry import Registry
    from neuralstream_core.registry.rollout import GuardRule

__all__ = ["GuardedPerformance", "judge_arms"]

_SPAN: Final[Micros] = 7 * 24 * 60 * MINUTE


class GuardedPerformance:
    """Judges rules about performance; keeps what it read as long as it is called with the same record of a
    model, which is for all rules of one evaluation.

    Raises (every method):
        TooLarge: there are more predictions than this deployment can join.
        Unavailable: the registry or the history cannot be reached.
    """

    def __init__(self, registry: Registry, reader: OutcomeReader, clock: Clock) -> None:
        self._registry, self._reader, self._clock = registry, reader, clock
        self._read: dict[Join, list[Joined]] = {}
        self._model: ModelRecord | None = None
        self._now: Micros = 0

    def __call__(
        self,
        model: ModelRecord,
        version: str,
        baseline: str | None,
        rule: GuardRule,
        since: Micros,
        tests: int,
    ) -> Judged:
        """One rule on all outcomes of the predictions since ``since``.

        Args:
            baseline: the version to compare with.
            tests: rules and versions that share the budget.
        """
        if self._model is not model:
            self._model, self._now = model, self._clock()
            self._read.clear()
        now = self._now
        metric, alpha = rule.metric.removeprefix(PREFIX), FALSE_TRIPS / max(1, tests)
        recent = Join(model.name, None, max(since, now - _SPAN), now)
        own = self._routed(recent, version)
        if rule.worse_than_baseline is None or baseline is None:
            return judge_arms(rule, _arm(own, metric), None, alpha)
        if model.ab_split is not None:
            return self._in_split(rule, own, self._routed(recent, baseline), alpha, baseline)
        before = to_micros(model.serving_since or model.updated_at)
        earlier = Join(model.name, baseline, before - _SPAN, before)
        base = _arm(self._routed(earlier, baseline), metric)
        return judge_arms(rule, _arm(own, metric), base, alpha)

    def _in_split(
        self, rule: GuardRule, own: Routed | None, base: Routed | None, alpha: float, baseline: str
    ) -> Judged:
        """Versions of one split, by the predictions whose version an entity chose."""
        metric = rule.metric.removeprefix(PREFIX)
        found, model = None, self._model
        if own is not None and base is not None and model is not None and metric in COMPARABLE:
            phases = [p for p in last_split(self._registry, model.name) if baseline in p.weights]
            found = compared(_chosen(own), _chosen(base), phases, metric, alpha)
        if found is None:
            return judge_arms(rule, _arm(own, metric), None, alpha)
        return judge_arms(rule, found.arm, found.base, alpha, unit="entities")

    def _routed(self, join: Join, version: str) -> Routed | None:
        """The outcomes of a version; ``None`` where it has none that can be measured."""
        if join.start >= join.end:
            return None
        if join not in self._read:
            self._read[join] = self._reader.read(join).versions
        joined = (one for one in self._read[join] if one.version == version and not one.shadow)
        found = next(joined, None)
        shape = shape_of(self._registry.version(join.model, version).signature)
        if found is None or shape is None:
            return None
        scored, rows, _ = scored_of(found, shape)
        return Routed(scored, found.entity[rows]) if len(rows) else None


_NOTHING: Final = Arm(0, math.nan, math.nan)


def _chosen(routed: Routed) -> Routed:
    rows = np.flatnonzero(routed.entity)
    return Routed(routed.scored.take(rows), routed.entity[rows])


def _arm(routed: Routed | None, metric: str) -> Arm:
    if routed is None:
        return _NOTHING
    try:
        values = losses(routed.scored, metric)
    except ValueError:  # of the other kind of model, or of probabilities that it does not give
        return _NOTHING
    return arm_of(values, routed.scored.weight)


def judge_arms(
    rule: GuardRule, arm: Arm, base: Arm | None, alpha: float, *, unit: str = "outcomes"
) -> Judged:
    """Judge one rule on the losses of a version and of its baseline.

    Args:
        alpha: probability that the rule is ever found broken though it is kept.
        unit: what is counted, in words.
    """
    metric = METRICS.get(rule.metric.removeprefix(PREFIX))
    if metric is None or not metric.mean:
        return Judged(None, None, None, 0, f"{rule.metric} cannot be judged at every look")
    if not arm.n:
        return Judged(None, None, None, 0, f"has no outcomes for its {metric.words} yet")
    squared = metric.name == "rmse"
    value = _shown(arm.mean, squared=squared)
    told = f"{metric.words} is {value:.4g} over {arm.n} {unit}"
    if rule.worse_than_baseline is None:
        bound = rule.max if rule.max is not None else rule.min or 0.0
        limit = bound**2 if squared else bound
        ends = around(arm, alpha, bound * (1 - bound) if metric.name == "accuracy" else 0.0)
        broken = ends and (ends[0] > limit if rule.max is not None else ends[1] < limit)
        allowed = "at most" if rule.max is not None else "at least"
        return Judged(broken, value, None, arm.n, f"{told}, {allowed} {bound:g} allowed")
    if base is None or not base.n:
        return Judged(None, value, None, arm.n, f"{told}, and the baseline has none")
    seen, was = compare(arm, base, alpha), _shown(base.mean, squared=squared)
    worse = rule.worse_than_baseline
    if squared:
        worse = (was + worse) ** 2 - was**2
    told = f"{told}, {was:.4g} of the baseline's {base.n}"
    if seen.low is None or seen.high is None:
        return Judged(None, value, was, arm.n, told)
    broken = seen.high < -worse if metric.better == "higher" else seen.low > worse
    return Judged(broken, value, was, arm.n, told)


def _shown(mean: float, *, squared: bool) -> float:
    return math.sqrt(max(0.0, mean)) if squared else mean
