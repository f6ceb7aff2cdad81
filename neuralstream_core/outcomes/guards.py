"""Whether a version keeps a guard's rule: exact tests of counters, at the level of a false-alarm budget.

A window breaks a bound when the counts could hardly have come from a version that keeps it:

* ``error_rate``, at most ``r``: the exact binomial test of the failed rows against ``r``.
* ``p99_ms``, at most ``b``: the exact binomial test of the requests slower than ``b`` against 1 %.
* ``error_rate``, at most ``d`` worse than the baseline: the rate is more than ``d`` above the baseline's,
  and Fisher's exact test says that it has risen.
* ``p99_ms``, at most ``d`` worse: with ``t`` the baseline's p99 plus ``d``, Fisher's exact test of the
  requests slower than ``t`` on both sides. It is exact although ``t`` comes from the baseline: given the
  ranks of both samples together, the number of requests above an order statistic of the baseline is
  hypergeometric (the precedence test; Nelson 1963).
* ``drift``, at most ``x``: the population stability index of a series is above ``x`` and above what chance
  gives at the level of the test (`neuralstream_core.monitoring.decision`).

Latency counts in the buckets of `neuralstream_core.monitoring.latency`; one that holds the bound counts as
keeping it, so a bound is met up to 2.2 % late and never early.

**Level.** `FALSE_TRIPS` false trips are expected for a model and month at most, shared by all tests of all
evaluations in it (Bonferroni), however many windows in a row a rule asks for: more of them make it less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from neuralstream_core.monitoring.decision import judge
from neuralstream_core.monitoring.latency import SCALES, quantile
from neuralstream_core.monitoring.sentences import names_of, percent
from neuralstream_core.monitoring.statistics import binomial_greater, fisher_greater

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.monitoring.profile import Profile
    from neuralstream_core.monitoring.reader import Counts
    from neuralstream_core.registry.rollout import GuardRule

__all__ = [
    "FALSE_TRIPS",
    "LEAST",
    "PREFIX",
    "Judged",
    "Seen",
    "judge_window",
    "level",
    "newest_broken",
]

PREFIX: Final = "performance."
"""Of the metrics that are measured on outcomes (`neuralstream_core.outcomes.guarded_performance`)."""
FALSE_TRIPS: Final = 0.01
"""Expected number of a model in a month."""
_EVALUATIONS: Final = 30 * 24 * 12
"""In a month: one every five minutes."""
LEAST: Final = 20
"""Rows without which a window that breaks nothing does not count as keeping the rule either."""
_TOTAL: Final = SCALES[0]
_UPPER: Final = np.asarray([_TOTAL.bounds(bucket)[0] for bucket in range(_TOTAL.size)])
"""Lower end of each bucket, in seconds."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a version did in a window.

    Attributes:
        failed: rows without an answer.
        rows: all rows.
        slow: requests by bucket of their total time, int64 ``(722,)``.
        profile, slots: the counters of its values, int64 ``(profile.size,)``.
    """

    failed: int
    rows: int
    slow: NDArray[np.int64]
    profile: Profile
    slots: NDArray[np.int64]

    @classmethod
    def of(cls, counts: Counts, profile: Profile) -> Seen:
        """From counters; ``profile``: the version's present one."""
        failed = counts.service.failed_rows().total()
        slow = counts.service.latency[_TOTAL.first : _TOTAL.first + _TOTAL.size]
        return cls(failed, failed + counts.rows(), slow, profile, counts.series[profile.digest])

    @property
    def error_rate(self) -> float | None:
        return self.failed / self.rows if self.rows else None

    @property
    def p99(self) -> float | None:
        """Milliseconds."""
        seconds = quantile(_TOTAL, self.slow, 0.99)
        return None if seconds is None else seconds * 1000

    def slower(self, milliseconds: float) -> int:
        """Requests that certainly took longer."""
        return int(self.slow[milliseconds / 1000 <= _UPPER].sum())


@dataclass(frozen=True, slots=True)
class Judged:
    """One rule in one window.

    Attributes:
        broken: ``None`` when there is too little to say so or the contrary.
        sentence: without the version's name, as it goes on after it.
    """

    broken: bool | None
    value: float | None
    baseline: float | None
    n: int
    sentence: str


def level(tests: int) -> float:
    """The level of one test of a model with so many in each evaluation."""
    return FALSE_TRIPS / (_EVALUATIONS * max(1, tests))


def judge_window(rule: GuardRule, seen: Seen, baseline: Seen | None, alpha: float) -> Judged:
    """Judge one rule on one window.

    Args:
        rule: of a metric that is counted, not of performance.
        baseline: what a rule ``worse_than_baseline`` compares with; ``None``: nothing is known.
        alpha: level of the test.
    """
    if rule.metric == "drift":
        return _drift(rule, seen, alpha)
    if rule.max is None and baseline is None:
        return Judged(None, None, None, seen.rows, "has no baseline to be compared with")
    if rule.metric == "error_rate":
        return _error_rate(rule, seen, baseline, alpha)
    return _p99(rule, seen, baseline, alpha)


def _error_rate(rule: GuardRule, seen: Seen, baseline: Seen | None, alpha: float) -> Judged:
    value, base = seen.error_rate, None
    broken, bound = False, ""
    if rule.max is not None:
        bound = f"at most {percent(rule.max)} allowed"
        if value is not None and value > rule.max:
            # A rate of 0 allows nothing to fail; the test needs one above 0.
            p = binomial_greater(seen.failed, seen.rows, max(rule.max, 1e-9))
            broken = p < alpha
    elif baseline is not None and rule.worse_than_baseline is not None:
        base = baseline.error_rate
        if base is None:
            return Judged(None, value, None, seen.rows, "has no baseline to be compared with")
        bound = f"{percent(base)} of the baseline's"
        if value is not None and value > base + rule.worse_than_baseline:
            p = fisher_greater(seen.failed, seen.rows, baseline.failed, baseline.rows)
            broken = p < alpha
    told = f"{percent(value or 0.0)} of {seen.rows} rows failed, {bound}"
    return _judged(broken=broken, value=value, base=base, n=seen.rows, told=told)


def _p99(rule: GuardRule, seen: Seen, baseline: Seen | None, alpha: float) -> Judged:
    value, base, n = seen.p99, None, int(seen.slow.sum())
    broken, bound = False, ""
    if rule.max is not None:
        bound = f"at most {rule.max:g} ms allowed"
        p = binomial_greater(seen.slower(rule.max), n, 0.01)
        broken = p < alpha
    elif baseline is not None and rule.worse_than_baseline is not None:
        base = baseline.p99
        if base is None:
            return Judged(None, value, None, n, "has no baseline to be compared with")
        bound = f"{base:.4g} ms of the baseline"
        slow = base + rule.worse_than_baseline
        m = int(baseline.slow.sum())
        if value is not None and value > slow:
            broken = fisher_greater(seen.slower(slow), n, baseline.slower(slow), m) < alpha
    told = f"p99 is {value or 0.0:.4g} ms over {n} requests, {bound}"
    return _judged(broken=broken, value=value, base=base, n=n, told=told)


def _drift(rule: GuardRule, seen: Seen, alpha: float) -> Judged:
    profile, most = seen.profile, rule.max or 0.0
    compared = [s for s in profile.series if s.reference is not None]
    if not compared:
        return Judged(None, None, None, seen.rows, "has no baseline of its values")
    worst: tuple[bool, float, int, str] | None = None
    names = names_of(profile)
    for name, (series, slots) in zip(names, profile.parts(seen.slots), strict=True):
        if series.reference is None:
            continue
        verdict = judge(series, slots, alpha=alpha / len(compared))
        if verdict.psi is None or verdict.threshold is None or verdict.n_current < verdict.needed:
            continue
        above = verdict.psi > max(most, verdict.threshold)
        found = (above, verdict.psi, verdict.n_current, name)
        worst = found if worst is None else max(worst, found)
    if worst is None:
        return Judged(None, None, None, seen.rows, "has too few values to be compared")
    above, value, n, name = worst
    told = f"{name} has a PSI of {value:.3g} over {n} values, at most {most:g} allowed"
    return Judged(above, value, None, n, told)


def _judged(*, broken: bool, value: float | None, base: float | None, n: int, told: str) -> Judged:
    return Judged(True if broken else None if n < LEAST else False, value, base, n, told)


def newest_broken(windows: Sequence[Judged]) -> int:
    """How many windows in a row are broken, from the newest one (the first) back."""
    for number, window in enumerate(windows):
        if not window.broken:
            return number
    return len(windows)
