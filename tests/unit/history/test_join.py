"""The point-in-time join on DuckDB against a lookup in plain Python, cell by cell."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuralstream_core.errors import Invalid
from neuralstream_core.features.schema import Feature, FeatureView
from neuralstream_core.features.values import Dtype, parse_time
from neuralstream_core.history.join import Lookup, Output, join_text
from neuralstream_core.history.labels import define_labels, register_rows
from neuralstream_core.history.mode import Mode
from neuralstream_core.history.sources import (
    classes_of,
    define_history,
    prepare,
    run_join,
)
from neuralstream_core.parquet import database
from neuralstream_core.time import iso, to_micros
from tests.support.histories import (
    DAY,
    START,
    Row,
    entity_of,
    features_of,
    random_value,
    view_of,
    write_files,
)

HOUR = 3_600_000_000
ALL = [
    Feature(name="f64", dtype=Dtype.FLOAT64),
    Feature(name="F64", dtype=Dtype.FLOAT64),
    Feature(name="f32", dtype=Dtype.FLOAT32),
    Feature(name="i", dtype=Dtype.INT64),
    Feature(name="b", dtype=Dtype.BOOL),
    Feature(name="s", dtype=Dtype.STRING),
    Feature(name="t", dtype=Dtype.TIMESTAMP),
    Feature(name="vec", dtype=Dtype.FLOAT32, shape=(3,)),
    Feature(name="vec64", dtype=Dtype.FLOAT64, shape=(2,)),
    Feature(name="ints", dtype=Dtype.INT64, shape=(2,)),
    Feature(name="select", dtype=Dtype.STRING),
    Feature(name="a.b-c", dtype=Dtype.INT64),
]


def looked_up(
    rows: list[Row], entity: str, time: int, ttl: int | None, mode: Mode, feature: str
) -> Any:
    """The value of one cell, as the words of the contract say it."""
    seen = [
        row
        for row in rows
        if row.entity == entity
        and feature in row.cells
        and row.event_time <= time
        and (ttl is None or row.event_time >= time - ttl)
        and (mode is Mode.AS_OF or row.write_time <= time)
    ]
    return max(seen, key=lambda row: row.rank).cells[feature] if seen else None


def column_of(view: FeatureView, name: str) -> str:
    """A column of the result; names that differ only in case would be one."""
    return f"{view.index[name]}:{name}"


def joined(
    folder: Path,
    view: FeatureView,
    days: list[list[str]],
    labels: list[dict[str, Any]],
    mode: Mode = Mode.AS_OF,
    *,
    separate: bool = False,
) -> list[dict[str, Any]]:
    """The rows of a training set with all features of ``view``; times as microseconds."""
    with database(memory="512MiB", threads=2, spill=folder / "spill") as connection:
        prepare(connection)
        define_history(connection, 1, view, days, folder)
        outputs = [Output(name, column_of(view, name)) for name in view.names]
        classes = (
            [[output] for output in outputs]
            if separate
            else classes_of(connection, 1, view, outputs)
        )
        names, _ = define_labels(connection, register_rows(connection, labels), "at", [view.keys])
        columns = [output.column for output in outputs]
        text = join_text([Lookup(view, "_entity_1", classes)], mode, names, columns)
        times = [o.column for o in outputs if view.feature(o.feature).dtype is Dtype.TIMESTAMP]
        path = folder / "result.parquet"
        run_join(connection, text, path, times)
        found = connection.execute("FROM read_parquet(?)", [str(path)])
        heads = [column[0] for column in found.description]
        rows = [dict(zip(heads, row, strict=True)) for row in found.fetchall()]
    return [
        {k: to_micros(v) if k in times and v is not None else v for k, v in row.items()}
        for row in rows
    ]


def world(seed: int) -> tuple[FeatureView, list[Row], list[dict[str, Any]], Mode]:
    """A view of up to three schema versions, its written rows with many ties, and labels."""
    deal = random.Random(seed)
    features = deal.sample(ALL, deal.choice((6, 9, 12)))
    if deal.random() < 0.2:  # more than one column of written bits
        features += [Feature(name=f"x{i}", dtype=Dtype.INT64) for i in range(30)]
    composite = deal.random() < 0.4
    ids = (
        [("1", "23"), ("12", "3"), ("1", "2"), ("", "")][:3]
        if composite
        else [("1",), ("1:2",), ("ä",), ("x y",)]
    )
    ttl = deal.choice((None, 3600, 7200, 86400))
    versions = deal.choice((1, 3))
    view = view_of(
        *features,
        keys=("a", "b") if composite else ("a",),
        ttl_seconds=ttl,
        schema_version=versions,
    )
    grid = deal.choice((HOUR, HOUR, 1_000_003))
    span = 3 * DAY // grid if grid == HOUR else 50
    groups = deal.random() < 0.5
    rows: list[Row] = []
    for number in range(deal.choice((0, 20, 120))):
        version = 1 + min(number * versions // 120, versions - 1)
        names = [f.name for f in view.features[: features_of(view, version)]]
        if groups:  # features that are always written together
            half = deal.choice((0, 1, 2))
            written = names if half == 2 else names[half::2]
        else:
            written = deal.sample(names, deal.randrange(1, len(names) + 1))
        event = START + grid * deal.randrange(span)
        late = deal.choice((0, 0, grid, 10 * grid, -grid))
        rows.append(
            Row(
                entity_of(view, *deal.choice(ids)),
                event,
                event + late,
                f"r{deal.randrange(200)}",
                number,
                version,
                {name: random_value(deal, view.feature(name)) for name in written},
            )
        )
    labels: list[dict[str, Any]] = []
    for number in range(60):
        of = deal.choice([*ids, ("nobody",) * len(view.keys)])
        shift = deal.choice((0, 0, -1, 1))
        label = {
            **dict(zip(view.keys, of, strict=True)),
            "at": iso(START + grid * deal.randrange(span + 3) + shift),
            "y": number % 7,
        }
        labels += [label] * deal.choice((1, 1, 1, 2))
    return view, rows, labels, deal.choice((Mode.AS_OF, Mode.AS_KNOWN))


@pytest.mark.parametrize("batch", range(8))
def test_every_cell_is_what_a_lookup_in_plain_python_finds(tmp_path, batch):
    cells = 0
    for seed in range(batch * 1000, batch * 1000 + 15):
        folder = tmp_path / str(seed)
        folder.mkdir()
        view, rows, labels, mode = world(seed)
        days = write_files(view, rows, folder, pieces=1 + seed % 3, seed=seed)
        found = joined(folder, view, days, labels, mode, separate=seed % 5 == 0)
        assert [{name: row[name] for name in labels[0]} for row in found] == labels
        for label, row in zip(labels, found, strict=True):
            time = parse_time(label["at"])
            entity = entity_of(view, *(label[key] for key in view.keys))
            for name in view.names:
                wanted = looked_up(rows, entity, time, view.ttl_micros, mode, name)
                assert row[column_of(view, name)] == wanted, (seed, label, name, mode)
                cells += 1
    assert cells > 12_500  # eight batches: more than 100,000


def simple(**more: Any) -> FeatureView:
    return view_of(
        Feature(name="x", dtype=Dtype.FLOAT64), Feature(name="z", dtype=Dtype.INT64), **more
    )


def written(entity: str, event: int, cells: dict[str, Any], write: int | None = None) -> Row:
    return Row(entity, START + event, START + (event if write is None else write), "r", 0, 1, cells)


def label(entity: str, time: int) -> dict[str, Any]:
    return {"id": entity, "at": iso(START + time)}


def values(
    tmp_path: Path,
    view: FeatureView,
    rows: list[Row],
    labels: list[dict[str, Any]],
    mode: Mode = Mode.AS_OF,
):
    return [
        row["0:x"]
        for row in joined(tmp_path, view, write_files(view, rows, tmp_path), labels, mode)
    ]


def test_a_value_counts_from_its_event_time_to_its_time_to_live_both_inclusive(tmp_path):
    rows = [written("u", 0, {"x": 1.0})]
    times = [-1, 0, 60_000_000, 60_000_001]
    found = values(tmp_path, simple(ttl_seconds=60), rows, [label("u", time) for time in times])
    assert found == [None, 1.0, 1.0, None]


def test_of_equal_event_times_the_later_write_wins(tmp_path):
    rows = [
        written("u", 0, {"x": 1.0}, write=50),
        written("u", 0, {"x": 2.0}, write=90),
        written("u", 0, {"x": 3.0}, write=70),
    ]
    assert values(tmp_path, simple(), rows, [label("u", 100)]) == [2.0]


def test_a_late_backfill_is_seen_as_of_a_time_but_not_as_known_then(tmp_path):
    rows = [written("u", 0, {"x": 1.0}), written("u", 10, {"x": 9.0}, write=1000)]
    labels = [label("u", 20), label("u", 999), label("u", 1000)]
    assert values(tmp_path, simple(), rows, labels) == [9.0, 9.0, 9.0]
    assert values(tmp_path, simple(), rows, labels, Mode.AS_KNOWN) == [1.0, 1.0, 9.0]


def test_as_known_an_older_value_that_is_written_late_does_not_replace_a_newer_one(tmp_path):
    rows = [written("u", 10, {"x": 1.0}), written("u", 5, {"x": 9.0}, write=1000)]
    assert values(tmp_path, simple(), rows, [label("u", 2000)], Mode.AS_KNOWN) == [1.0]


def test_a_partial_write_hides_no_other_feature_and_a_written_null_is_null(tmp_path):
    rows = [
        written("u", 0, {"x": 1.0, "z": 1}),
        written("u", 1, {"z": 2}),
        written("u", 3, {"x": None}),
    ]
    assert values(tmp_path, simple(), rows, [label("u", 2), label("u", 3)]) == [1.0, None]


def test_labels_whose_candidates_are_all_expired_or_unknown_stay_and_so_do_repeated_ones(tmp_path):
    rows = [written("u", 0, {"x": 1.0})]
    labels = [label("u", 10**9), label("nobody", 0), label("u", 5), label("u", 5), label("u", 1)]
    assert values(tmp_path, simple(ttl_seconds=1), rows, labels) == [None, None, 1.0, 1.0, 1.0]


def test_composite_ids_that_join_to_the_same_text_are_different_entities(tmp_path):
    view = simple(keys=("a", "b"))
    rows = [
        written(entity_of(view, "1", "23"), 0, {"x": 1.0}),
        written(entity_of(view, "12", "3"), 0, {"x": 2.0}),
    ]
    at = iso(START)
    labels = [
        {"a": 12, "b": "3", "at": at},
        {"a": 1, "b": "23", "at": at},
        {"a": 1, "b": "2", "at": at},
    ]
    assert values(tmp_path, view, rows, labels) == [2.0, 1.0, None]


def test_features_that_seem_to_be_written_together_are_not_confused_by_a_rare_row(tmp_path):
    """More sets of written features than are looked at one by one."""
    view = view_of(*(Feature(name=f"x{i}", dtype=Dtype.INT64) for i in range(20)))
    deal = random.Random(5)
    rows = []
    for number in range(6000):
        names = [f"x{i}" for i in range(18) if number >> i & 1 or deal.random() < 0.1]
        cells = dict.fromkeys(names, number) | {"x18": number, "x19": number}
        rows.append(written(f"u{number}", 0, cells))
    rows.append(written("u5999", 1, {"x18": -1}))
    days = write_files(view, rows, tmp_path)
    (found,) = joined(tmp_path, view, days, [label("u5999", 9)])
    assert (found["18:x18"], found["19:x19"]) == (-1, 5999)


def test_a_hundred_thousand_labels_keep_their_order_and_the_same_input_makes_the_same_bytes(
    tmp_path,
):
    view = simple()
    rows = [written(f"u{i % 50}", i, {"x": float(i)}) for i in range(500)]
    days = write_files(view, rows, tmp_path)
    digests = set()
    for _ in range(2):
        with database(threads=2) as connection:
            prepare(connection)
            define_history(connection, 1, view, days, tmp_path)
            ids = "SELECT 'u' || (i * 7919) % 60 AS id, i FROM range(100000) t(i)"
            given = f"(SELECT id, '{iso(START + 400)}' AS at, i FROM ({ids}))"  # noqa: S608
            names, count = define_labels(connection, given, "at", [("id",)])
            assert count == 100_000
            text = join_text(
                [Lookup(view, "_entity_1", [[Output("x", "x")]])], Mode.AS_OF, names, ["x"]
            )
            path = tmp_path / "result.parquet"
            run_join(connection, text, path)
            order = connection.execute("SELECT i FROM read_parquet(?)", [str(path)]).fetchnumpy()
            assert (order["i"] == np.arange(100_000)).all()
            digests.add(path.read_bytes())
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("row", "place"),
    [
        ({"id": None, "at": "2026-01-01T00:00:00Z"}, "labels.1.id"),
        ({"id": "", "at": "2026-01-01T00:00:00Z"}, "labels.1.id"),
        ({"id": "x" * 1025, "at": "2026-01-01T00:00:00Z"}, "labels.1.id"),
        ({"id": "u", "at": "2026-01-01T00:00:00"}, "labels.1.at"),
        ({"id": "u", "at": "2026-02-31T00:00:00Z"}, "labels.1.at"),
        ({"id": "u"}, "labels.1.at"),
    ],
)
def test_a_label_without_an_id_or_a_time_with_a_zone_is_refused_with_its_place(
    tmp_path, row, place
):
    with pytest.raises(Invalid) as refused:
        joined(tmp_path, simple(), [], [label("u", 0), row])
    assert [error.loc for error in refused.value.errors] == [place]
