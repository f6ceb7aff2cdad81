"""What counts as a broken bound: certain when it is, and within the budget when it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from neuralstream_core.monitoring.latency import SCALES
from neuralstream_core.outcomes.guarded_performance import judge_arms
from neuralstream_core.outcomes.guards import (
    FALSE_TRIPS,
    Judged,
    Seen,
    judge_window,
    level,
    newest_broken,
)
from neuralstream_core.outcomes.sequences import Arm
from neuralstream_core.registry.rollout import GuardRule
from tests.support.monitoring import Watched

WATCHED = Watched()
WINDOWS = 2000
TOTAL = SCALES[0]


def seen(failed: int = 0, rows: int = 0, milliseconds: Any = ()) -> Seen:
    slow = np.zeros(TOTAL.size, np.int64)
    for one in milliseconds:
        slow[TOTAL.bucket(one / 1000)] += 1
    return Seen(failed, rows, slow, WATCHED.profile, np.zeros(WATCHED.profile.size, np.int64))


def rule(metric: str = "error_rate", **bound: float) -> GuardRule:
    return GuardRule(metric=metric, **bound)


def fast(rng: np.random.Generator, size: tuple[int, int]) -> Any:
    """Latencies in milliseconds by bucket: 2,000 windows of counts, drawn at once."""
    edges = np.asarray([TOTAL.bounds(b)[1] for b in range(TOTAL.size)]) * 1000
    cumulative = stats.lognorm.cdf(edges, 0.5, loc=0, scale=20)
    shares = np.diff(cumulative, prepend=0.0)
    return rng.multinomial(size[1], shares / shares.sum(), size[0])


# -- windows that keep the rule ------------------------------------------------------------------


def broken(judged: list[Judged]) -> int:
    return sum(bool(one.broken) for one in judged)


def undrifted(alpha: float) -> dict[str, int]:
    """How many of 2,000 windows of versions at their very bounds count as broken, by kind of rule."""
    rng = np.random.default_rng(17)
    n, m = 300, 2000
    failed, of_base = rng.binomial(n, 0.05, WINDOWS), rng.binomial(m, 0.05, WINDOWS)
    p99 = float(stats.lognorm.ppf(0.99, 0.5, scale=20))
    slow, slow_base = fast(rng, (WINDOWS, n)), fast(rng, (WINDOWS, m))

    def latency(counts: Any) -> Seen:
        return Seen(0, 0, counts, WATCHED.profile, np.zeros(WATCHED.profile.size, np.int64))

    return {
        "error rate": broken(
            [judge_window(rule(max=0.05), seen(int(k), n), None, alpha) for k in failed]
        ),
        "error rate against the baseline": broken(
            [
                judge_window(rule(worse_than_baseline=0.0), seen(int(k), n), seen(int(b), m), alpha)
                for k, b in zip(failed, of_base, strict=True)
            ]
        ),
        "p99": broken(
            [judge_window(rule("p99_ms", max=p99), latency(k), None, alpha) for k in slow]
        ),
        "p99 against the baseline": broken(
            [
                judge_window(rule("p99_ms", worse_than_baseline=0.0), latency(k), latency(b), alpha)
                for k, b in zip(slow, slow_base, strict=True)
            ]
        ),
    }


def test_windows_at_the_bound_break_it_within_the_budget() -> None:
    """A month of 8,640 evaluations may have 0.01 trips; these are 2,000 windows."""
    assert set(undrifted(level(1)).values()) == {0}
    assert level(1) * 30 * 24 * 12 == pytest.approx(FALSE_TRIPS)
    assert level(6) == pytest.approx(level(1) / 6)


def test_the_tests_keep_a_level_that_can_be_seen() -> None:
    alpha = 0.02
    most = WINDOWS * alpha + 3 * np.sqrt(WINDOWS * alpha)
    found = undrifted(alpha)
    assert all(count <= most for count in found.values()), found
    assert found["error rate"] > WINDOWS * alpha / 8


def test_undrifted_values_break_the_bound_of_drift_within_the_budget() -> None:
    rng = np.random.default_rng(5)
    profile = Watched(features=WATCHED.features[:1]).profile
    count, alpha = 500, 0.02
    slots = np.zeros((count, profile.size), np.int64)
    for series, start in zip(profile.series, profile.offsets, strict=False):
        shares = np.asarray(series.reference, float)
        drawn = rng.multinomial(250, shares / shares.sum(), count)
        slots[:, start : start + series.size] = drawn
    nothing = np.zeros(TOTAL.size, np.int64)
    windows = [Seen(0, 250, nothing, profile, one) for one in slots]
    judged = [judge_window(rule("drift", max=0.1), one, None, alpha) for one in windows]
    assert broken(judged) <= count * alpha + 3 * np.sqrt(count * alpha)
    assert {one.n for one in judged} == {250}


# -- windows that break it -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bound", "window", "baseline", "sentence"),
    [
        (rule(max=0.05), seen(30, 100), None, "30 % of 100 rows failed, at most 5 % allowed"),
        (rule(max=0.0), seen(3, 100), None, "3 % of 100 rows failed, at most 0 % allowed"),
        (
            rule(worse_than_baseline=0.02),
            seen(30, 100),
            seen(20, 2000),
            "30 % of 100 rows failed, 1 % of the baseline's",
        ),
        (
            rule("p99_ms", max=50),
            seen(milliseconds=[10] * 90 + [200] * 10),
            None,
            "ms over 100 requests, at most 50 ms allowed",
        ),
        (
            rule("p99_ms", worse_than_baseline=50),
            seen(milliseconds=[10] * 90 + [200] * 10),
            seen(milliseconds=[10] * 1000),
            "ms of the baseline",
        ),
    ],
)
def test_a_version_that_is_clearly_worse_breaks_its_rule(
    bound: GuardRule, window: Seen, baseline: Seen | None, sentence: str
) -> None:
    judged = judge_window(bound, window, baseline, level(10))
    assert judged.broken
    assert sentence in judged.sentence


@pytest.mark.parametrize(
    ("bound", "window", "baseline", "expected"),
    [
        # worse, but within what the rule allows
        (rule(worse_than_baseline=0.3), seen(300, 1000), seen(20, 2000), False),
        (
            rule("p99_ms", worse_than_baseline=500),
            seen(milliseconds=[200] * 100),
            seen(milliseconds=[10] * 100),
            False,
        ),
        # nothing to go by
        (rule(max=0.05), seen(), None, None),
        (rule(max=0.05), seen(2, 10), None, None),
        (rule(worse_than_baseline=0.0), seen(500, 1000), None, None),
        (rule(worse_than_baseline=0.0), seen(500, 1000), seen(), None),
        (rule("p99_ms", worse_than_baseline=0.0), seen(milliseconds=[9] * 50), seen(), None),
        (rule("drift", max=0.2), seen(0, 1000), None, None),
    ],
)
def test_a_version_that_is_not(
    bound: GuardRule, window: Seen, baseline: Seen | None, expected: bool | None
) -> None:
    assert judge_window(bound, window, baseline, level(1)).broken is expected


def test_the_bucket_of_the_bound_keeps_it() -> None:
    for bound in (10.0, 55.5, 1000.0):
        window = seen(milliseconds=[bound] * 100)
        assert not judge_window(rule("p99_ms", max=bound), window, None, level(1)).broken
        window = seen(milliseconds=[bound * 1.023] * 100)
        assert judge_window(rule("p99_ms", max=bound), window, None, level(1)).broken


def test_windows_in_a_row_are_counted_from_the_newest() -> None:
    def windows(*broken: bool | None) -> list[Judged]:
        return [Judged(one, None, None, 0, "") for one in broken]

    assert newest_broken(windows(True, True, False, True)) == 2
    assert newest_broken(windows(None, True)) == 0
    assert newest_broken([]) == 0


# -- performance ---------------------------------------------------------------------------------


def test_looking_every_hundred_outcomes_keeps_the_level_of_a_bound() -> None:
    """1,000 versions exactly at their bound, looked at forty times each, at a level that can be seen."""
    rng = np.random.default_rng(8)
    looks, alpha = np.arange(1, 41) * 100, 0.05
    for bound in (0.9, 0.99):
        right = rng.binomial(100, bound, (1000, len(looks))).cumsum(axis=1)
        false = 0
        for one in right.tolist():
            found = (
                judge_arms(
                    rule("performance.accuracy", min=bound),
                    Arm(n, k / n, k / n * (1 - k / n) * n / (n - 1)),
                    None,
                    alpha,
                )
                for n, k in zip(looks.tolist(), one, strict=True)
            )
            false += any(judged.broken for judged in found)
        assert false <= 50 + 3 * np.sqrt(50)


@pytest.mark.parametrize(
    ("bound", "arm", "base", "expected"),
    [
        (rule("performance.accuracy", min=0.8), Arm(500, 0.6, 0.24), None, True),
        (rule("performance.accuracy", min=0.8), Arm(50, 0.2, 0.16), None, None),
        (rule("performance.accuracy", min=0.5), Arm(500, 0.6, 0.24), None, False),
        (rule("performance.mae", max=2.0), Arm(500, 4.0, 3.0), None, True),
        (rule("performance.mae", max=5.0), Arm(500, 4.0, 3.0), None, False),
        (rule("performance.rmse", max=2.0), Arm(500, 16.0, 90.0), None, True),
        (rule("performance.rmse", max=4.1), Arm(500, 16.0, 90.0), None, False),
        (
            rule("performance.rmse", worse_than_baseline=1.0),
            Arm(900, 16.0, 90.0),
            Arm(900, 4.0, 9.0),
            True,
        ),
        (
            rule("performance.rmse", worse_than_baseline=2.0),
            Arm(900, 16.0, 90.0),
            Arm(900, 4.0, 9.0),
            False,
        ),
        (
            rule("performance.log_loss", worse_than_baseline=0.0),
            Arm(900, 0.3, 0.1),
            Arm(900, 0.6, 0.1),
            False,
        ),
        (rule("performance.log_loss", worse_than_baseline=0.0), Arm(900, 0.3, 0.1), None, None),
        (rule("performance.accuracy", min=0.8), Arm(0, np.nan, np.nan), None, None),
    ],
)
def test_a_bound_of_performance_is_broken_when_all_that_is_possible_lies_beyond_it(
    bound: GuardRule, arm: Arm, base: Arm | None, expected: bool | None
) -> None:
    assert judge_arms(bound, arm, base, FALSE_TRIPS).broken is expected
