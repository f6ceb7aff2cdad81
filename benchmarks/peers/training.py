"""Training sets beside Feast's local offline store, at sizes that it survives, with pandas and polars in"
" the run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from _env import ensure
from _harness import Group, Report

from benchmarks import training_set as sets
from neuralstream_core.parquet import database

if TYPE_CHECKING:
    from _world import Model

__all__ = ["training"]

HERE = Path(__file__).parent
ROWS = 1_000_000
LABELS = (10_000, 100_000)
CASES = (
    "polars join_asof, per row, sorted",
    "pandas merge_asof, per row",
    "NeuralStream, per cell",
)


def for_feast(place: Path) -> None:
    """The same rows in one file with the column names and types that Feast asks for."""
    with database(memory="4GB", threads=2) as connection:
        for source, columns, target in (
            ("[0-9]*", f"_entity AS user, make_timestamptz(_event_time) AS event_timestamp,"
             f" {', '.join(sets.NAMES)}", "feast-history"),
            ("labels", 'id AS "user", "at" AS event_timestamp, y', "feast-labels"),
        ):  # fmt: skip
            connection.execute(
                f"COPY (SELECT {columns} FROM '{place}/{source}.parquet')"  # noqa: S608 - a folder of our own
                f" TO '{place}/{target}.parquet' (COMPRESSION zstd)"
            )


def by_feast(place: Path, turn: int) -> dict[str, Any]:
    """One training set in a process of its own."""
    run = subprocess.run(
        [
            ensure("feast"), "-W", "ignore", HERE / "workers" / "feast_training.py",
            place / f"repo-{turn}", place / "feast-history.parquet",
            place / "feast-labels.parquet", place / "out.feast",
        ],
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


def training(folder: Path, model: Model, rounds: int) -> Report:
    """Time and peak memory of a training set."""
    del model
    quick = rounds < 10
    rows = ROWS // 10 if quick else ROWS
    report = Report(
        "peers_training",
        f"Labels joined to {rows:,} rows of history × {sets.WIDTH} float64 features of {sets.ENTITIES:,}"
        f" entities"
        f" over {sets.DAYS} days, every row written whole, from Parquet to Parquet; each case in a"
        f" process of its"
        " own. Feast: `get_historical_features(…).to_df()` of its local offline store, which reads one"
        " file and"
        " whose rows it leaves out are counted.",
    )
    for labels in LABELS[: 1 if quick else None]:
        place = folder / f"{labels}"
        sets.made(place, "all", rows, labels)
        for_feast(place)
        group = Group(f"{labels:,} labels × {rows:,} rows", CASES[0], rows=labels)
        results: dict[str, list[dict[str, Any]]] = {case: [] for case in (*CASES, "Feast")}
        for turn in range(1 if quick else 3):
            for case in CASES:
                results[case].append(sets.measured(case, place))
            results["Feast"].append(by_feast(place, turn))
        for case, found in results.items():
            group.samples[case] = [each["seconds"] for each in found]
            cpu, most = (median(each[what] for each in found) for what in ("cpu", "megabytes"))
            group.notes[case] = f"{cpu:.1f} CPU seconds, peak memory {most:,.0f} MB"
        last = results["Feast"][-1]
        group.notes[f"rows in the answer of Feast {last['version']}"] = f"{last['rows']:,}"
        report.add(group)
    return report
