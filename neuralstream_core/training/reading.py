"""What a training set reads, and what it says of that: times of labels, files they reach, coverage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from neuralstream_core.history.manifest import DataFile
from neuralstream_core.history.mode import Mode
from neuralstream_core.history.reader import Snapshot
from neuralstream_core.history.sources import read_files
from neuralstream_core.parquet import quoted
from neuralstream_core.time import Micros, from_micros
from neuralstream_core.training.plan import ViewLookup
from neuralstream_core.training.records import Coverage, ViewSnapshot

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["coverage", "described", "ends", "needed"]


def ends(connection: DuckDBPyConnection) -> tuple[Micros, Micros]:
    """The first and the last time of the labels."""
    ((first, last),) = connection.execute("SELECT min(_time), max(_time) FROM labels").fetchall()
    return (0, -1) if first is None else (first, last)


def needed(
    files: Sequence[DataFile], lookup: ViewLookup, ends: tuple[Micros, Micros], mode: Mode
) -> list[DataFile]:
    """The files that hold a row which some label may see, by day."""
    first, last = ends
    ttl = lookup.view.ttl_micros
    found = [
        file
        for file in files
        if file.first_event_time <= last
        and (ttl is None or file.last_event_time >= first - ttl)
        and (mode is Mode.AS_OF or file.first_write_time <= last)
    ]
    return sorted(found, key=lambda file: (file.date, file.key))


def coverage(
    connection: DuckDBPyConnection, path: Path, names: Sequence[str], rows: int
) -> dict[str, Coverage]:
    """How many of ``rows`` labels have a value, by the column of each feature, in a training set's file."""
    counts = ", ".join(f"count({quoted(name)})" for name in names)
    query = f"SELECT {counts} FROM {read_files([str(path)])}"  # noqa: S608 - names are quoted
    (found,) = connection.execute(query).fetchall()
    return {
        name: Coverage(present=count, share=count / rows if rows else 0.0)
        for name, count in zip(names, found, strict=True)
    }


def described(snapshot: Snapshot) -> ViewSnapshot:
    """A snapshot as a training set's record has it."""
    until = snapshot.consumed_until
    return ViewSnapshot(
        history_version=snapshot.version,
        schema_version=snapshot.view.schema_version,
        history_until=from_micros(until) if until else None,
    )
