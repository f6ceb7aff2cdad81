"""Whether the statistics of outcomes keep their promises, in simulated tests and windows.

    python -m benchmarks.outcome_simulation            prints the tables (about ten minutes of one core)
    python -m benchmarks.outcome_simulation --write    also puts them into the page of the decision

Tests of two versions are looked at after every 100 outcomes and judged by the code that judges real ones.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuralstream_core.outcomes.metrics import measure
from neuralstream_core.outcomes.power import needed
from neuralstream_core.outcomes.scored import Scored
from neuralstream_core.outcomes.sequences import LEAST, Arm, compare, radius

DOCUMENT = (
    Path(__file__).resolve().parents[1] / "docs" / "decisions" / "0024-always-valid-intervals.md"
)
PEEK = 100
Judge = Callable[[Arm, Arm], bool]
Sums = tuple[np.ndarray, np.ndarray]
Losses = Callable[[np.random.Generator, np.ndarray], Sums]
"""Sums and sums of squares of as many losses as each element of an array of counts says."""


# -- tests of two versions ------------------------------------------------------------------------


def wrong(rate: float) -> Losses:
    """Losses of 1 with this probability, else 0."""

    def draw(rng: np.random.Generator, n: np.ndarray) -> Sums:
        total = rng.binomial(n, rate).astype(np.float64)
        return total, total

    return draw


def skewed(sigma: float) -> Losses:
    """Lognormal losses."""

    def draw(rng: np.random.Generator, n: np.ndarray) -> Sums:
        values = rng.lognormal(0.0, sigma, (*n.shape, PEEK))
        values[np.arange(PEEK) >= n[..., None]] = 0.0
        return values.sum(axis=-1), (values**2).sum(axis=-1)

    return draw


@dataclass(frozen=True)
class Simulated:
    """Tests of an arm against a base, as each look finds them.

    Attributes:
        arm, base: float64 ``(3, tests, looks)``: outcomes, sum and sum of squares of the losses so far.
    """

    arm: np.ndarray
    base: np.ndarray

    @classmethod
    def drawn(
        cls, arm: Losses, base: Losses, *, tests: int, looks: int, share: float = 0.5
    ) -> Simulated:
        rng = np.random.default_rng(1)
        parts: list[tuple[np.ndarray, np.ndarray]] = []
        for start in range(0, tests, 100):
            n = rng.binomial(PEEK, share, (min(100, tests - start), looks))
            parts.append((np.stack([n, *arm(rng, n)]), np.stack([PEEK - n, *base(rng, PEEK - n)])))
        sides = (np.concatenate(side, axis=1).cumsum(axis=2) for side in zip(*parts, strict=True))
        return cls(*sides)

    def at(self, test: int, look: int) -> tuple[Arm, Arm]:
        return _arm(self.arm[:, test, look]), _arm(self.base[:, test, look])

    def alarms(self, judge: Judge, until: np.ndarray | None = None) -> float:
        """The share of tests in which some look says that the arms differ.

        Args:
            judge: it must not say so where the difference is below 1.9 standard errors.
            until: ``(tests,)``, the last look of each.
        """
        (n, total, squares), (m, base_total, base_squares) = self.arm, self.base
        a, b = np.maximum(n, 2), np.maximum(m, 2)
        gap = np.abs(total / a - base_total / b)
        spread = (squares / a - (total / a) ** 2) / a + (
            base_squares / b - (base_total / b) ** 2
        ) / b
        worth = (gap > 1.9 * np.sqrt(np.maximum(spread, 0.0))) & (np.minimum(n, m) >= LEAST)
        if until is not None:
            worth &= np.arange(n.shape[1]) <= until[:, None]
        found = 0
        for test in np.flatnonzero(worth.any(axis=1)).tolist():
            looks = np.flatnonzero(worth[test]).tolist()
            found += any(judge(*self.at(test, look)) for look in looks)
        return found / n.shape[0]


def _arm(sums: np.ndarray) -> Arm:
    n, total, squares = sums.tolist()
    mean = total / max(n, 1)
    return Arm(int(n), mean, max(0.0, squares - n * mean**2) / max(1, n - 1))


def always_valid(arm: Arm, base: Arm) -> bool:
    return compare(arm, base).shown


def ordinary(arm: Arm, base: Arm) -> bool:
    """The interval that is meant for one look."""
    return _gap(arm, base) > 1.959964


def own_variances(arm: Arm, base: Arm) -> bool:
    """The sequence as its authors have it: each arm with its own variance, all outcomes counted."""
    return _gap(arm, base) > radius(arm.n + base.n)


def planned(arm: Arm, base: Arm) -> bool:
    """The interval for one look, at a level that 200 planned looks share (Bonferroni)."""
    return _gap(arm, base) > 3.662259


def bounded(arm: Arm, base: Arm) -> bool:
    """Without asymptotics, for losses within [0, 1], whose variance is 1/4 at most (Hoeffding)."""
    spread = math.sqrt((1 / arm.n + 1 / base.n) / 4)
    return abs(arm.mean - base.mean) > spread * radius(4 * arm.n * base.n / (arm.n + base.n))


def _gap(arm: Arm, base: Arm) -> float:
    error = math.sqrt(arm.variance / arm.n + base.variance / base.n)
    return abs(arm.mean - base.mean) / error if error else 0.0


def alarm_table(tests: int, looks: int) -> str:
    """How often two equal versions are called different at some look."""
    judges = {
        "always valid, as shipped": always_valid,
        "each arm's own variance": own_variances,
        "for one look": ordinary,
        f"{looks} looks planned": planned,
        "bounded losses": bounded,
    }
    scenarios = [
        ("10 % errors, half the traffic", wrong(0.1), 0.5),
        ("10 % errors, a tenth", wrong(0.1), 0.1),
        ("1 % errors, a tenth", wrong(0.01), 0.1),
        ("0.2 % errors, half", wrong(0.002), 0.5),
        ("lognormal losses, half", skewed(1.0), 0.5),
        ("lognormal losses, a tenth", skewed(1.0), 0.1),
    ]
    lines = [_row(["two equal versions", *judges]), "|---|" + "--:|" * len(judges)]
    for name, losses, share in scenarios:
        seen = Simulated.drawn(losses, losses, tests=tests, looks=looks, share=share)
        cells = [
            "–" if judge is bounded and "lognormal" in name else f"{seen.alarms(judge):.1%}"
            for judge in judges.values()
        ]
        lines.append(_row([name, *cells]))
        print(lines[-1], flush=True)
    return "\n".join(lines)


# -- power ----------------------------------------------------------------------------------------


def foretold(seen: Simulated, effect: float, look: int) -> np.ndarray:
    """The look by which each test finds the difference, as foretold at an early one; ``(tests,)``."""
    found = []
    for test in range(seen.arm.shape[1]):
        outcomes = needed(compare(*seen.at(test, look)), effect)
        found.append(math.ceil((outcomes or 10**9) / PEEK) - 1)
    return np.array(found)


def power_table(tests: int) -> str:
    """How often a true difference is found by the time that was foretold for it after 2,000 outcomes."""
    lines = ["| true difference | share | foretold, median | found by then |", "|---|--:|--:|--:|"]
    for name, arm, base, effect, share in (
        ("accuracy 0.90 against 0.92", wrong(0.10), wrong(0.08), 0.02, 0.5),
        ("accuracy 0.90 against 0.92", wrong(0.10), wrong(0.08), 0.02, 0.2),
        ("accuracy 0.75 against 0.77", wrong(0.25), wrong(0.23), 0.02, 0.5),
        ("accuracy 0.97 against 0.99", wrong(0.03), wrong(0.01), 0.02, 0.5),
    ):
        seen = Simulated.drawn(arm, base, tests=tests, looks=600, share=share)
        looks = foretold(seen, effect, look=19)
        found = seen.alarms(always_valid, until=looks)
        lines.append(
            f"| {name} | {share:.0%} | {PEEK * (np.median(looks) + 1):,.0f} | {found:.1%} |"
        )
        print(lines[-1], flush=True)
    return "\n".join(lines)


# -- intervals of one look ------------------------------------------------------------------------


def classified(
    rng: np.random.Generator,
    n: int,
    *,
    centre: float = -0.85,
    spread: float = 1.0,
    off: float = 0.0,
    sampled: bool = False,
) -> tuple[Scored, np.ndarray]:
    """Rows of a binary classifier, and the true probability of each.

    Args:
        centre, spread: of the log odds that it gives.
        off: how far they are from the true ones: 0 is calibrated.
        sampled: half of the rows stand for four each.
    """
    odds = rng.normal(centre, spread, n)
    given, true = 1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(-(odds * (1 + off) + 0.3 * off)))
    names = np.array(["no", "yes"], object)
    scored = Scored(
        kind="classifier",
        truth=names[(rng.random(n) < true).astype(int)],
        predicted=names[(given > 0.5).astype(int)],
        probability=np.stack([1 - given, given], axis=1),
        classes=("no", "yes"),
        weight=np.where(rng.random(n) < 0.5, 1.0, 4.0) if sampled else np.ones(n),
        at=np.arange(n),
    )
    return scored, true


def three_classes(rng: np.random.Generator, n: int) -> tuple[Scored, np.ndarray]:
    """Rows of an overconfident classifier of three classes, and the true probability of what it predicts."""
    odds = rng.normal(0.0, 1.2, (n, 3))
    given, true = (np.exp(a * odds) for a in (1.0, 0.7))
    given, true = (p / p.sum(axis=1, keepdims=True) for p in (given, true))
    best = given.argmax(axis=1)
    truth = (rng.random((n, 1)) > true.cumsum(axis=1)).sum(axis=1).clip(max=2)
    names = np.array(["a", "b", "c"], object)
    scored = Scored(
        "classifier", names[truth], names[best], given, ("a", "b", "c"), np.ones(n), np.arange(n)
    )
    return scored, true[np.arange(n), best]


def regressed(
    rng: np.random.Generator, n: int, *, sampled: bool = False, heavy: bool = False
) -> tuple[Scored, None]:
    """Rows of a regressor with normal errors, or with exponential ones."""
    predicted = rng.normal(0.0, 2.0, n)
    error = rng.exponential(1.0, n) if heavy else rng.normal(0.2, 1.0, n)
    weight = np.where(rng.random(n) < 0.5, 1.0, 4.0) if sampled else np.ones(n)
    return Scored("regressor", predicted + error, predicted, None, (), weight, np.arange(n)), None


Rows = Callable[[np.random.Generator, int], tuple[Scored, np.ndarray | None]]
ROWS: dict[str, Rows] = {
    "calibrated": classified,
    "slightly off": lambda rng, n: classified(rng, n, off=0.2),
    "clearly off": lambda rng, n: classified(rng, n, off=0.6),
    "sampled": lambda rng, n: classified(rng, n, sampled=True),
    "sure": lambda rng, n: classified(rng, n, spread=4.0),
    "7 % positive": lambda rng, n: classified(rng, n, centre=-3.0),
    "three classes": three_classes,
    "normal errors": regressed,
    "normal errors, sampled": lambda rng, n: regressed(rng, n, sampled=True),
    "exponential errors": lambda rng, n: regressed(rng, n, heavy=True),
}


def truth_of(rows: Rows, size: int) -> dict[str, float]:
    """What a version of these rows would measure with endless outcomes."""
    scored, true = rows(np.random.default_rng(99), size)
    found = {name: m.value for name, m in measure(scored).items() if m.value is not None}
    if true is not None and scored.probability is not None:
        given = (
            scored.probability[:, 1] if len(scored.classes) == 2 else scored.probability.max(axis=1)
        )
        place = np.searchsorted(np.linspace(0, 1, 11)[1:-1], given)
        found["ece"] = float(np.abs(np.bincount(place, true - given, 10)).sum()) / size
    return found


def coverage(rows: Rows, n: int, windows: int, size: int = 1_000_000) -> dict[str, float]:
    """By measure the share of simulated windows whose interval holds the truth.

    Args:
        size: rows that the truth is taken from.
    """
    rng, truth, held = np.random.default_rng(1), truth_of(rows, size), dict[str, int]()
    for _ in range(windows):
        for name, found in measure(rows(rng, n)[0]).items():
            if found.low is not None and found.high is not None:
                held[name] = held.get(name, 0) + (found.low <= truth[name] <= found.high)
    return {name: count / windows for name, count in held.items()}


def coverage_table(windows: int) -> str:
    """Coverage of every measure's interval, in percent."""
    names = ["accuracy", "log_loss", "brier", "auc", "ece", "mae", "rmse", "bias", "r2"]
    lines = [_row(["rows", "n", *names]), "|---|" + "--:|" * (len(names) + 1)]
    for name, rows in ROWS.items():
        for n in (500, 2000):
            found = coverage(rows, n, windows)
            cells = [f"{100 * found[m]:.1f}" if m in found else "" for m in names]
            lines.append(_row([name, f"{n:,}", *cells]))
            print(lines[-1], flush=True)
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def write(marks: dict[str, str]) -> None:
    """Replace each table between its marks in the document."""
    text = DOCUMENT.read_text()
    for name, table in marks.items():
        mark = f"<!-- {name} -->"
        before, _, rest = text.partition(mark)
        _, _, after = rest.partition(mark)
        text = f"{before}{mark}\n{table}\n{mark}{after}"
    DOCUMENT.write_text(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tests", type=int, default=2000)
    parser.add_argument("--windows", type=int, default=4000)
    parser.add_argument("--only", choices=["alarms", "power", "coverage"])
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    tables = {
        "alarms": lambda: alarm_table(options.tests, looks=200),
        "power": lambda: power_table(options.tests),
        "coverage": lambda: coverage_table(options.windows),
    }
    found = {name: make() for name, make in tables.items() if options.only in (None, name)}
    if options.write:
        write(found)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
