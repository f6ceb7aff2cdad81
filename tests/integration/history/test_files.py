"""Files of the history: sizes, order, days; and any rows of any schema read back as they were written."""

from __future__ import annotations

import io
import random
import string
from datetime import datetime
from typing import Any

import pyarrow.parquet as pq
import pytest

from neuralstream_core.features import Dtype, FeatureView
from neuralstream_core.history.files import Bounds, select_rows
from neuralstream_core.history.schema import ORDER
from neuralstream_core.parquet import database
from neuralstream_core.time import EPOCH, from_micros, to_micros
from tests.support.history import HistoryHouse, Record

DTYPES: dict[str, Any] = {
    "f32": "float32",
    "f64": "float64",
    "i64": "int64",
    "flag": "bool",
    "text": "string",
    "at": "timestamp",
    "v32": ("float32", 3),
    "v64": ("float64", 2),
    "vi": ("int64", 2),
    "Text": "string",
}


def value_of(draw: random.Random, dtype: Any) -> Any:
    if draw.random() < 0.2:
        return None
    if isinstance(dtype, tuple):
        return [value_of_scalar(draw, dtype[0]) for _ in range(dtype[1])]
    return value_of_scalar(draw, dtype)


def value_of_scalar(draw: random.Random, dtype: str) -> Any:
    match Dtype(dtype):
        case Dtype.FLOAT32:
            return draw.choice([0.0, -0.0, 1.5, -3.25, 2.0**100])
        case Dtype.FLOAT64:
            return draw.choice([0.1, -1e300, 5e-324, draw.random()])
        case Dtype.INT64:
            return draw.choice([0, -(2**63), 2**63 - 1, draw.randrange(1000)])
        case Dtype.BOOL:
            return draw.random() < 0.5
        case Dtype.TIMESTAMP:
            return from_micros(draw.randrange(-(10**15), 10**16))
        case _:
            return "".join(draw.choices(string.printable + "äß\0😀", k=draw.randrange(9)))


def expected_of(features: dict[str, Any]) -> dict[str, Any]:
    """Times are microseconds in the files."""
    return {
        name: to_micros(value) if isinstance(value, datetime) else value
        for name, value in features.items()
    }


@pytest.mark.parametrize("seed", range(6))
def test_any_rows_are_read_back_as_they_were_written(house: HistoryHouse, seed: int) -> None:
    """Partial rows, NULLs, days, schema versions, repeated requests, many small batches."""
    draw = random.Random(seed)
    names = list(DTYPES)
    draw.shuffle(names)
    known = draw.randrange(1, len(names))
    view = house.view(**{name: DTYPES[name] for name in names[:known]})
    expected: list[Record] = []
    requests: dict[str, tuple[FeatureView, list[dict[str, Any]]]] = {}
    for number in range(draw.randrange(5, 12)):
        if draw.random() < 0.3 and known < len(names):
            known = draw.randrange(known, len(names)) + 1
            view = house.view(**{name: DTYPES[name] for name in names[:known]})
        rows = [
            {
                "entity_id": f"e{draw.randrange(5)}",
                "features": {
                    feature.name: value_of(draw, DTYPES[feature.name])
                    for feature in draw.sample(view.features, draw.randint(1, known))
                },
                "event_timestamp": from_micros(
                    draw.choice([-(10**13), 10**15, 1_767_225_600_000_000])
                    + draw.randrange(5) * 43_200_000_000
                ),
            }
            for _ in range(draw.randrange(1, 30))
        ]
        name = f"r{number:03d}"
        requests[name] = (view, rows)
        expected += house.write(view, name, rows)
        house.clock.now += draw.randrange(1, 10**8)
        if draw.random() < 0.4:  # delivered again
            again = draw.choice(list(requests))
            house.write(requests[again][0], again, requests[again][1])
        if draw.random() < 0.4:
            house.compact(batch_bytes=draw.choice([1, 10**6]))
    house.compact(batch_bytes=1)
    for record in expected:
        record["features"] = expected_of(record["features"])
    assert house.records(view) == expected
    for row in house.table(view):
        assert (row["day"] - EPOCH.date()).days == max(row["_event_time"] // 86_400_000_000, 0)


def rows_of(count: int, day: int = 1) -> list[dict[str, Any]]:
    draw = random.Random(count)
    return [
        {
            "entity_id": f"user-{draw.randrange(10**6)}",
            "features": {"noise": draw.random()},
            "event_timestamp": f"2026-01-{day:02d}T00:00:00Z",
        }
        for _ in range(count)
    ]


def test_small_files_of_a_day_become_one_and_large_ones_are_split(house: HistoryHouse) -> None:
    view = house.view(noise="float64")
    bounds = Bounds(small=20_000, large=60_000)
    expected: list[Record] = []
    sizes: list[list[int]] = []
    for number, count in enumerate((100, 100, 100, 20_000, 100, 100)):
        expected += house.write(view, f"r{number}", rows_of(count))
        house.compact(bounds=bounds)
        sizes.append([file.bytes for file in house.history.snapshot(view).files])
    assert [len(files) for files in sizes[:3]] == [1, 1, 1]
    assert len(sizes[3]) > 2
    assert len(sizes[5]) == len(sizes[3]) + 1  # the last two small requests share a file
    assert all(20_000 < size < 66_000 for size in sizes[3])
    assert house.records(view) == expected


def test_files_are_sorted_and_the_rows_of_a_file_do_not_cross_days(house: HistoryHouse) -> None:
    view = house.view(noise="float64")
    for number in range(3):
        rows = [row for day in range(1, 31) for row in rows_of(20, day)]
        house.write(view, f"r{number}", rows)
        house.compact()
    files = house.history.snapshot(view).files
    assert len(files) == 30
    for file in files:
        data = house.objects.read(house.history.location(file))
        rows = pq.read_table(io.BytesIO(data), partitioning=None).to_pylist()
        keys = [tuple(row[name] for name in ORDER) for row in rows]
        assert keys == sorted(keys)
        assert (file.first_event_time, file.last_event_time) == (
            min(row["_event_time"] for row in rows),
            max(row["_event_time"] for row in rows),
        )
        assert {(EPOCH.date() - file.date).days * -86_400_000_000} == {
            row["_event_time"] for row in rows
        }


def test_a_reader_gets_all_columns_whatever_schema_version_a_file_has(
    house: HistoryHouse, tmp_path: Any
) -> None:
    old = house.view(age="int64")
    house.write(old, "r1", [{"entity_id": "u1", "features": {"age": 1}}])
    house.compact()
    new = house.view(age="int64", **{f"f{i}": "float64" for i in range(40)})
    snapshot = house.history.snapshot(new)
    files, paths = house.history.attach(snapshot.files)
    local = house.history.download(snapshot.files, tmp_path)
    for given in (paths, [str(path) for path in local]):
        rows = database(files).execute(select_rows(new, given)).fetchall()
        columns = database(files).execute(select_rows(new, given)).description
        (row,) = [dict(zip([c[0] for c in columns], row, strict=True)) for row in rows]
        assert (row["age"], row["f39"], row["_written_0"], row["_written_1"]) == (1, None, 1, 0)
    assert database(files).execute(select_rows(new, [])).fetchall() == []
