"""Training sets: the point-in-time join beside pandas' and polars' row-wise joins, each in its own process.

python -m benchmarks.training_set [--labels 1000000] [--rows 10000000] [--rounds 3] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks._harness import Group, Report
from neuralstream_core.features.schema import Feature, FeatureView
from neuralstream_core.features.values import Dtype
from neuralstream_core.history.join import Lookup, Output, join_text
from neuralstream_core.history.labels import define_labels
from neuralstream_core.history.mode import Mode
from neuralstream_core.history.sources import (
    classes_of,
    define_history,
    prepare,
    read_files,
    run_join,
)
from neuralstream_core.memory import peak
from neuralstream_core.parquet import database

DAYS = 30
FULL = 10_000_000
"""Rows of a run that is saved."""
LIMIT = "polars join_asof, per row, sorted"
ENTITIES = 200_000
WIDTH = 20
START = 1_790_035_200_000_000
DAY = 86_400_000_000
NAMES = [f"f{i}" for i in range(WIDTH)]
WRITTEN = {
    "all": str((1 << WIDTH) - 1),
    "4 groups": " + ".join(
        f"CASE WHEN m & {1 << g} > 0 OR m = 0 THEN {31 << (5 * g)} ELSE 0 END" for g in range(4)
    ),
    "each cell": "1 + m % 1048575",
}
"""Which features a row writes: all; one or several of four groups of five; each one or not."""


def made(folder: Path, written: str, rows: int, labels: int) -> None:
    """History files by day, and labels."""
    folder.mkdir(parents=True, exist_ok=True)
    size = "16" if written == "4 groups" else "1048576"
    cells = ", ".join(
        f"CASE WHEN w & {1 << i} > 0 AND random() > 0.02 THEN random() END AS {name}"
        for i, name in enumerate(NAMES)
    )
    with database(memory="4GB", threads=2) as connection:
        connection.execute("SELECT setseed(0.4)")
        for day in range(DAYS):
            inner = (
                f"SELECT i, 'user_' || CAST(floor(random() * {ENTITIES}) AS BIGINT) AS e,"  # noqa: S608
                f" {START + day * DAY} + CAST(floor(random() * {DAY - 1}) AS BIGINT) AS t,"
                f" CAST(floor(random() * {size}) AS BIGINT) AS m FROM range({rows // DAYS}) r(i)"
            )
            connection.execute(
                f"COPY (SELECT e AS _entity, t AS _event_time, t + 1000000 AS _write_time,"  # noqa: S608
                f" 'req-' || (i // 100) AS _request_id, CAST(i % 100 AS INTEGER) AS _row,"
                f" 1 AS _schema_version, CAST(w AS BIGINT) AS _written_0, {cells}"
                f" FROM (SELECT *, {WRITTEN[written]} AS w FROM ({inner}))"
                f" ORDER BY 1, 2, 3, 4, 5) TO '{folder}/{day:02}.parquet' (COMPRESSION zstd)"
            )
        drawn = (
            f"SELECT 'user_' || CAST(floor(random() * {ENTITIES * 1.05}) AS BIGINT) AS id,"  # noqa: S608
            f" {START} + CAST(floor(random() * {DAYS * DAY}) AS BIGINT) AS micros,"
            f" random() > 0.5 AS y FROM range({labels})"
        )
        connection.execute(
            f"COPY (SELECT *, make_timestamptz(micros) AS at FROM ({drawn}))"  # noqa: S608
            f" TO '{folder}/labels.parquet'"
        )


def ours(folder: Path, out: Path, mode: Mode = Mode.AS_OF) -> None:
    features = tuple(Feature(name=name, dtype=Dtype.FLOAT64) for name in NAMES)
    now = datetime.now(UTC)
    view = FeatureView(
        name="v",
        keys=("id",),
        features=features,
        generation="g",
        created_at=now,
        updated_at=now,
    )
    with tempfile.TemporaryDirectory(dir=folder) as spill:
        space = Path(spill)
        with database(memory="1200MB", threads=2, spill=space) as connection:
            prepare(connection)
            days = [[str(path)] for path in sorted(folder.glob("[0-9]*.parquet"))]
            define_history(connection, 1, view, days, space)
            labels = read_files([str(folder / "labels.parquet")])
            names, _ = define_labels(connection, labels, "at", [("id",)])
            outputs = [Output(name, name) for name in NAMES]
            classes = classes_of(connection, 1, view, outputs)
            text = join_text([Lookup(view, "_entity_1", classes)], mode, names, NAMES)
            run_join(connection, text, out)


def ours_as_known(folder: Path, out: Path) -> None:
    ours(folder, out, Mode.AS_KNOWN)


def pandas(folder: Path, out: Path) -> None:
    import pandas as pd

    columns = ["_entity", "_event_time", *NAMES]
    files = sorted(folder.glob("[0-9]*.parquet"))
    history = pd.concat(
        [pd.read_parquet(path, columns=columns) for path in files], ignore_index=True
    ).sort_values("_event_time", kind="stable")
    labels = pd.read_parquet(folder / "labels.parquet").sort_values("micros")
    pd.merge_asof(
        labels, history, left_on="micros", right_on="_event_time", left_by="id", right_by="_entity"
    ).to_parquet(out)


def polars(folder: Path, out: Path) -> None:
    """As its documentation asks for: both sorted by the time."""
    _polars(folder, out, whole=True)


def polars_unsorted(folder: Path, out: Path) -> None:
    """Files as they are, in which each entity's rows happen to be in order."""
    _polars(folder, out, whole=False)


def _polars(folder: Path, out: Path, *, whole: bool) -> None:
    import polars as pl

    columns = ["_entity", "_event_time", *NAMES]
    history = pl.read_parquet(sorted(folder.glob("[0-9]*.parquet")), columns=columns)
    if whole:
        history = history.sort("_event_time")
    labels = pl.read_parquet(folder / "labels.parquet").sort("micros")
    labels.join_asof(
        history,
        left_on="micros",
        right_on="_event_time",
        by_left="id",
        by_right="_entity",
        check_sortedness=False,
    ).write_parquet(out)


CASES: Mapping[str, Callable[[Path, Path], None]] = {
    "NeuralStream, per cell": ours,
    "NeuralStream, per cell, as_known": ours_as_known,
    "pandas merge_asof, per row": pandas,
    "polars join_asof, per row, sorted": polars,
    "polars join_asof, per row, files as they are": polars_unsorted,
}


def child(case: str, folder: Path) -> None:
    """Run one case and print what it took."""
    out = folder / "out.tmp"
    started = time.perf_counter()
    CASES[case](folder, out)
    seconds = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime
    print(json.dumps({"seconds": seconds, "cpu": cpu, "megabytes": peak() / 1e6}))


def measured(case: str, folder: Path) -> dict[str, float]:
    words = [sys.executable, "-m", "benchmarks.training_set", "--case", case]
    run = subprocess.run(
        [*words, "--folder", str(folder)], stdout=subprocess.PIPE, check=True, text=True
    )
    found: dict[str, float] = json.loads(run.stdout)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--written", choices=list(WRITTEN), nargs="*", default=["all", "4 groups"])
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--case", choices=list(CASES))
    given = parser.parse_args()
    if given.case:
        child(given.case, given.folder)
        return 0
    report = Report(
        "training_set",
        f"{given.labels:,} labels joined to {given.rows:,} rows of history × {WIDTH} float64 features of"
        f" {ENTITIES:,} entities over {DAYS} days, from Parquet to Parquet; each case in a process of its own"
        " on both cores. Ours finds each feature's newest written cell by itself; pandas and polars find the"
        " newest row, so a partial write hides what was known before.",
    )
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for written in given.written:
            place = Path(folder) / written.replace(" ", "-")
            made(place, written, given.rows, given.labels)
            group = Group(f"written: {written}", LIMIT, rows=given.labels)
            results: dict[str, list[dict[str, Any]]] = {case: [] for case in CASES}
            for _ in range(given.rounds):
                for case in CASES:
                    results[case].append(measured(case, place))
            for case, found in results.items():
                group.samples[case] = [each["seconds"] for each in found]
                cpu, most = (median(each[what] for each in found) for what in ("cpu", "megabytes"))
                group.notes[case] = f"{cpu:.1f} CPU seconds, peak memory {most:,.0f} MB"
            report.add(group)
    return report.save(quick=given.rows < FULL)


if __name__ == "__main__":
    sys.exit(main())
