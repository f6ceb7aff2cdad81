"""The same benchmarks of two checkouts, in turns, in one table.

    .venv/bin/python benchmarks/compare.py BEFORE AFTER --rounds 3

Each checkout's own benchmark files run as processes on the checkout's own code, before and after in
alternating order, so that a slow minute of the machine meets both. The last column is the median over the
rounds of after divided by before. What a benchmark wrote under ``benchmarks/results`` is read and put back as
it was. Cold starts need a bundle built in each checkout (``make bundle``): AFTER's benchmark measures both.

Prints the table, or writes it to ``--output``; ``--only predict`` runs a part.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

PARTS = ("predict", "features_read", "features_write", "batch", "cold_start")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: the first case of a benchmark's result whose names match."""

    title: str
    benchmark: str
    group: str
    case: str
    """Regular expression; names may differ between the checkouts."""
    before: str = ""
    """Of the case in AFTER's result that measured the checkout BEFORE, where one run measures both."""


ROWS = (
    Row("POST /predict, warm handler", "predict", "POST /predict", "the whole handler"),
    Row(
        "read 1 entity, one node",
        "features_read",
        "read 1 × 20 ",
        "NeuralStream.*rows, one node|NeuralStream, one node",
    ),
    Row(
        "read 1,000 entities, one node",
        "features_read",
        "read 1000 × 20 ",
        "NeuralStream.* one node",
    ),
    Row(
        "read 1,000 entities, three nodes",
        "features_read",
        "read 1000 × 20 ",
        "NeuralStream.* cluster",
    ),
    Row(
        "write 10,000 × 20, one node",
        "features_write",
        "write 10000 × 20 ",
        "NeuralStream, one node",
    ),
    Row(
        "write 10,000 × 20, three nodes",
        "features_write",
        "write 10000 × 20 ",
        "NeuralStream, cluster",
    ),
    Row("batch job, CSV to JSONL", "batch", "", "NeuralStream, csv"),
    Row("batch job, JSONL to JSONL", "batch", "", "NeuralStream, jsonl"),
    Row("batch job, Parquet to Parquet", "batch", "", "NeuralStream, parquet"),
    Row(
        "cold start, first response",
        "cold_start",
        "first response",
        "NeuralStream pre",
        "NeuralStream bef",
    ),
    Row(
        "cold start, first prediction",
        "cold_start",
        "first pred",
        "NeuralStream pre",
        "NeuralStream bef",
    ),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """A case of one run."""

    name: str
    median_us: float
    limit: float
    """Times the physical limit, or the peer, of the same run."""
    rows: int

    def text(self) -> str:
        rate = f", {self.rows / self.median_us * 1e6:,.0f} rows/s" if self.rows > 1 else ""
        ms = self.median_us / 1000
        return f"{ms:,.3g} ms{rate}" if ms >= 1 else f"{self.median_us:.0f} µs{rate}"


def command(part: str, options: argparse.Namespace, python: str) -> list[str]:
    """The command line of one benchmark."""
    match part:
        case "batch":
            return [python, "-m", "benchmarks.batch", "all", "--rows", str(options.rows)]
        case "cold_start":
            return [python, "benchmarks/cold_start.py", "--before", str(options.before)]
        case _:
            return [python, f"benchmarks/{part}.py", "--seconds", str(options.seconds)]


def run(part: str, checkout: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One benchmark of one checkout: what it saved. The files it saved are put back.

    Raises:
        SystemExit: it ended without a result. (Its exit code counts budgets that do not hold.)
    """
    result = checkout / "benchmarks" / "results" / f"{part}.json"
    kept = {
        path: path.read_bytes() if path.exists() else None
        for path in (result, result.with_suffix(".md"))
    }
    result.unlink(missing_ok=True)
    try:
        done = subprocess.run(
            command(part, options, str(checkout / ".venv/bin/python")),
            cwd=checkout,
            env=os.environ | {"PYTHONPATH": f"{checkout}:{checkout / 'layers/core'}"},
            capture_output=True,
            text=True,
            check=False,
        )
        if not result.exists():
            raise SystemExit(
                f"{checkout}: {part} saved nothing\n{done.stdout}{done.stderr}"[-4000:]
            )
        found: dict[str, Any] = json.loads(result.read_text())
        return found
    finally:
        for path, content in kept.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)


def measured(result: dict[str, Any], group: str, case: str) -> Measured | None:
    """The first case whose name matches, in the first group whose title begins with ``group``."""
    for found in result["groups"]:
        if found["title"].startswith(group):
            for name, one in found["cases"].items():
                if re.match(case, name):
                    return Measured(name, one["median_us"], one["ratio"], found["rows"])
    return None


def pairs(
    part: str, options: argparse.Namespace
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Results of BEFORE and AFTER, one pair for each round; the order alternates."""
    if part == "cold_start":  # one run measures both, call by call
        both = run(part, options.after, options)
        yield both, both
        return
    for number in range(options.rounds):
        order = [options.before, options.after][:: 1 if number % 2 == 0 else -1]
        by_checkout = {checkout: run(part, checkout, options) for checkout in order}
        yield by_checkout[options.before], by_checkout[options.after]


def middle(runs: Sequence[Measured]) -> Measured:
    """The run with the median time."""
    return sorted(runs, key=lambda one: one.median_us)[len(runs) // 2]


def table(options: argparse.Namespace) -> list[str]:
    """The lines of the table, in Markdown."""
    lines = [
        f"{options.rounds} rounds, before and after in turns; load average {os.getloadavg()[0]:.1f}.",
        "",
        "| what | before | × limit | after | × limit | after ∕ before |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for part in options.only or PARTS:
        runs: dict[Row, list[tuple[Measured, Measured]]] = defaultdict(list)
        for before, after in pairs(part, options):
            for row in [row for row in ROWS if row.benchmark == part]:
                then = measured(before, row.group, row.before or row.case)
                now = measured(after, row.group, row.case)
                if then is not None and now is not None:
                    runs[row].append((then, now))
        for row, found in runs.items():
            then, now = middle([one for one, _ in found]), middle([one for _, one in found])
            change = median(two.median_us / one.median_us for one, two in found)
            lines.append(
                f"| {row.title} | {then.text()} | {then.limit:.2f} "
                f"| {now.text()} | {now.limit:.2f} | {change:.2f} |"
            )
            print(lines[-1], file=sys.stderr, flush=True)
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("before", type=Path, help="a checkout with a .venv")
    parser.add_argument("after", type=Path, help="a checkout with a .venv")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of each benchmark")
    parser.add_argument("--seconds", type=float, default=0.5, help="for each case of a benchmark")
    parser.add_argument("--rows", type=int, default=200_000, help="of a batch job")
    parser.add_argument("--only", action="append", choices=PARTS, help="this benchmark, not all")
    parser.add_argument("--output", type=Path, help="where to write the table")
    options = parser.parse_args()
    options.before, options.after = options.before.resolve(), options.after.resolve()
    text = "\n".join(table(options)) + "\n"
    if options.output:
        options.output.write_text(text)
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
