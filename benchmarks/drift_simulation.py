"""How often drift monitoring alarms in simulated windows, with and without drift.

    python -m benchmarks.drift_simulation            prints the table (2,000 windows per row, a minute)
    python -m benchmarks.drift_simulation --write    also puts it into the page of the decision

Each window is judged exactly as a report judges it, against a baseline of 10,000 values that is drawn
anew every 100 windows. *Nominal* is the level α the rule is given here (1 %); with the default budget
of one false alarm per month and model, α is about 0.002 %.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuralstream_core.monitoring.binning import build_profile
from neuralstream_core.monitoring.counting import count_series, read_column
from neuralstream_core.monitoring.decision import judge
from neuralstream_core.registry.records import FeatureRef

NOMINAL = 0.01
BUDGET = 1 / (720 * 60)
"""α of 20 features under the default budget."""
BASELINE = 10_000
PER_BASELINE = 100
MARK = "<!-- simulation -->"
DOCUMENT = (
    Path(__file__).resolve().parents[1] / "docs" / "decisions" / "0014-when-drift-is-an-alarm.md"
)

Draw = Callable[[np.random.Generator, int], object]


@dataclass(frozen=True)
class Scenario:
    """What the baseline and the windows are drawn from, and what is asked of the alarms."""

    name: str
    n: int
    current: Draw
    baseline: Draw
    dtype: str = "float64"
    alpha: float = NOMINAL
    at_most: float | None = None
    at_least: float = 0.0


def normal(shift: float = 0.0, nulls: float = 0.0) -> Draw:
    def draw(rng: np.random.Generator, k: int) -> object:
        values = rng.normal(shift, 1.0, k)
        values[rng.random(k) < nulls] = np.nan
        return values

    return draw


def counts(rng: np.random.Generator, k: int) -> object:
    return rng.poisson(2.0, k)


def heavy(rng: np.random.Generator, k: int) -> object:
    return rng.lognormal(0.0, 1.5, k)


def cities(rng: np.random.Generator, k: int) -> object:
    return [f"city{i}" for i in rng.zipf(1.5, k)]


SIZES = (200, 500, 1000, 5000)
SCENARIOS = (
    *(
        Scenario(f"{name}, no drift, n = {n}", n, draw, draw, dtype, at_most=2 * NOMINAL)
        for name, draw, dtype in (
            ("normal", normal(), "float64"),
            ("lognormal", heavy, "float64"),
            ("poisson counts", counts, "int64"),
            ("zipf categories", cities, "string"),
            ("normal with 5 % nulls", normal(nulls=0.05), "float64"),
        )
        for n in SIZES
    ),
    *(
        Scenario(
            f"normal shifted by 0.4 σ, n = 500, α = {alpha:.2g}",
            500,
            normal(0.4),
            normal(),
            alpha=alpha,
            at_least=0.95,
        )
        for alpha in (NOMINAL, BUDGET)
    ),
    *(
        Scenario(
            f"nulls from {before:.0%} to {before + 0.1:.0%}, n = 500, α = {alpha:.2g}",
            500,
            normal(nulls=before + 0.1),
            normal(nulls=before),
            alpha=alpha,
            at_least=0.99,
        )
        for before in (0.0, 0.05)
        for alpha in (NOMINAL, BUDGET)
    ),
)


def alarm_rate(scenario: Scenario, windows: int, seed: int) -> float:
    """The share of windows with a warning or drift."""
    rng = np.random.default_rng(seed)
    feature = FeatureRef(view="v", feature="x", dtype=scenario.dtype)
    alarms = 0
    for window in range(windows):
        if window % PER_BASELINE == 0:
            columns = {"x": scenario.baseline(rng, BASELINE)}
            series = build_profile([feature], columns).series[0]
        column = read_column(scenario.current(rng, scenario.n), type_=series.type)
        verdict = judge(series, count_series(series, column), alpha=scenario.alpha)
        alarms += verdict.status.alarming
    return alarms / windows


def table(windows: int, seed: int) -> tuple[str, bool]:
    """The results as Markdown, and whether all of them are as they should be."""
    lines = ["| windows | alarms | asked |", "|---|---:|---|"]
    good = True
    for scenario in SCENARIOS:
        rate = alarm_rate(scenario, windows, seed)
        if scenario.at_most is not None:
            asked, held = f"≤ {scenario.at_most:.1%}", rate <= scenario.at_most
        else:
            asked, held = f"≥ {scenario.at_least:.0%}", rate >= scenario.at_least
        good &= held
        lines.append(f"| {scenario.name} | {rate:.2%} | {asked}{'' if held else ' **missed**'} |")
        print(lines[-1], flush=True)
    return "\n".join(lines), good


def write(text: str) -> None:
    """Replace the table between the marks of the document."""
    before, _, rest = DOCUMENT.read_text().partition(MARK)
    _, _, after = rest.partition(MARK)
    DOCUMENT.write_text(f"{before}{MARK}\n{text}\n{MARK}{after}")


def main() -> int:
    """0 when every row is as asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    started = time.monotonic()
    text, good = table(options.windows, options.seed)
    print(f"{time.monotonic() - started:.0f} s")
    if options.write:
        write(f"{options.windows:,} windows per row, seed {options.seed}.\n\n{text}")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
