"""Parquet files read by row range and written; pyarrow writes the inputs and reads the outputs."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralstream_core.errors import Invalid, Unavailable
from neuralstream_core.objects import Location, Objects
from neuralstream_core.serving.batch.cells import RowErrors, convert
from neuralstream_core.serving.batch.parquet import ParquetInput, write_parquet
from neuralstream_core.serving.batch.rows import InputRows, InputSchema, parquet_rows

AT = Location("bucket", "a.parquet")


class Memory(Objects):
    """An object in memory that counts what is fetched and can fail."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.fetched = 0
        self.down = False

    def stream(self, at: Location, start: int, end: int, etag: str) -> Iterator[bytes]:
        del at, etag  # there is one object
        if self.down:
            raise Unavailable("S3 is down", dependency="storage")
        self.fetched += end - start
        yield self.data[start:end]


def file(table: pa.Table, **options: Any) -> Memory:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return Memory(out.getvalue())


def opened(memory: Memory) -> ParquetInput:
    return ParquetInput(memory, AT, len(memory.data), "e")


def rows_of(memory: Memory, start: int, end: int, schema: InputSchema) -> list[InputRows]:
    """Rows of the row groups ``[start, end)``."""
    source = opened(memory)
    groups = source.row_groups()
    return list(parquet_rows(source, schema, sum(groups[:start]), sum(groups[:end])))


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(0, 60),
    group=st.integers(1, 20),
    bounds=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    compression=st.sampled_from(["none", "snappy", "zstd", "gzip"]),
    version=st.sampled_from(["1.0", "2.6"]),
    index=st.booleans(),
)
def test_any_row_groups_and_columns_read_as_pyarrow_reads_them(
    rows: int, group: int, bounds: tuple[int, int], compression: str, version: str, index: bool
) -> None:
    table = pa.table(
        {
            "nested": pa.array(
                [{"x": [i], "y": str(i)} for i in range(rows)],
                pa.struct([("x", pa.list_(pa.int64())), ("y", pa.string())]),
            ),
            "id": pa.array([f"ü{i}" for i in range(rows)], pa.string()).dictionary_encode(),
            "vector": pa.array([[float(i), 1.0] for i in range(rows)], pa.list_(pa.float64())),
            "amount": pa.array([None if i % 3 == 0 else i / 2 for i in range(rows)], pa.float64()),
            "flag": pa.array([i % 2 == 0 for i in range(rows)], pa.bool_()),
        }
    )
    memory = file(
        table,
        row_group_size=group,
        compression=compression,
        version=version,
        write_page_index=index,
    )
    assert opened(memory).columns() == tuple(table.column_names)
    groups = opened(memory).row_groups()
    assert sum(groups) == rows
    start, end = min(*bounds, len(groups)), min(max(bounds), len(groups))
    schema = InputSchema(
        ("id",), (), {"vector": ("float64", 2), "amount": ("float64", 1), "flag": ("bool", 1)}
    )
    found = rows_of(memory, start, end, schema) if start < end else []
    before, count = sum(groups[:start]), sum(groups[start:end])
    expected = table.slice(before, count).to_pylist()
    assert [e for part in found for e in part.entities] == [row["id"] for row in expected]
    for name in ("vector", "amount", "flag"):
        values = [v for part in found for v in part.features[name]]
        assert values == [row[name] for row in expected]
    assert [n for part in found for n in part.lines.tolist()] == [
        before + at for at in range(1, count + 1)
    ]
    assert not any(part.errors for part in found)


def test_only_the_wanted_columns_are_fetched() -> None:
    n = 400_000
    table = pa.table({"id": [str(i) for i in range(n)], "wide": [f"{i:0100d}" for i in range(n)]})
    memory = file(table, row_group_size=100_000, compression="none", use_dictionary=False)
    rows_of(memory, 1, 2, InputSchema(("id",), (), {}))
    assert memory.fetched < len(memory.data) / 5


def test_whole_numbers_are_ids_and_other_types_are_not() -> None:
    memory = file(pa.table({"id": pa.array([7, None], pa.int32())}))
    (rows,) = rows_of(memory, 0, 1, InputSchema(("id",), (), {}))
    assert rows.entities == ["7", None]
    assert rows.errors[1].code == "missing_entity"
    memory = file(pa.table({"id": pa.array([1.5])}))
    (rows,) = rows_of(memory, 0, 1, InputSchema(("id",), (), {}))
    assert rows.errors[0].code == "invalid_entity"


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats() | st.none(), min_size=1, max_size=6),
    st.sampled_from(["float64", "float32"]),
)
def test_a_column_is_checked_as_a_whole_as_cell_by_cell(values: list[Any], dtype: str) -> None:
    schema = InputSchema(("id",), (), {"x": (dtype, 1)}, raw=("x",))
    ids = [f"u{i}" for i in range(len(values))]
    (whole,) = rows_of(
        file(pa.table({"id": ids, "x": pa.array(values, pa.float64())})), 0, 1, schema
    )
    assert {type(value) for value in whole.raw["x"]} <= {float, type(None)}
    for at, value in enumerate(values):
        errors: RowErrors = {}
        # beside a string, each cell is looked at by itself
        alone = convert([value, "x"], dtype, 1, "x", errors, text=False)
        assert whole.features["x"][at] == alone[0]
        assert whole.errors.get(at) == errors.get(0)
    places, good = whole.good()
    assert list(good.features["x"]) == [whole.features["x"][at] for at in places]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PAR1",
        b"not parquet at all",
        b"PAR1" + b"\xff" * 40 + (40).to_bytes(4, "little") + b"PAR1",
    ],
)
def test_what_is_not_parquet_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid, match="not a Parquet file"):
        opened(Memory(data)).columns()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_footer_is_refused_or_read_never_a_crash(data: st.DataObject) -> None:
    table = pa.table({"id": [f"user-{i}" for i in range(300)]})
    memory = file(table, compression="snappy", use_dictionary=False)
    raw = bytearray(memory.data)
    footer = len(raw) - 8 - int.from_bytes(raw[-8:-4], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(footer, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    memory.data = bytes(raw)
    try:
        found = rows_of(memory, 0, 1, InputSchema(("id",), (), {}))
    except Invalid:
        return
    assert sum(len(rows) for rows in found) >= 0


def test_a_storage_failure_under_the_library_stays_a_storage_failure() -> None:
    memory = file(pa.table({"id": [str(i) for i in range(1000)]}))
    memory.down = True
    with pytest.raises(Unavailable, match="S3 is down"):
        opened(memory).columns()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_file_is_refused_or_read_never_a_crash(data: st.DataObject) -> None:
    table = pa.table(
        {
            "id": [f"user-{i % 7}" for i in range(200)],
            "amount": [None if i % 3 == 0 else i / 2 for i in range(200)],
            "vector": [[float(i), 1.0] for i in range(200)],
        }
    )
    compression = data.draw(st.sampled_from(["none", "snappy", "zstd"]))
    memory = file(table, compression=compression, row_group_size=80)
    raw = bytearray(memory.data)
    if data.draw(st.booleans()):
        del raw[data.draw(st.integers(0, len(raw) - 1)) :]
    else:
        for _ in range(data.draw(st.integers(1, 6))):
            raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    memory.data = bytes(raw)
    schema = InputSchema(("id",), (), {"amount": ("float64", 1), "vector": ("float64", 2)})
    try:
        found = rows_of(memory, 0, 3, schema)
    except Invalid:
        return
    assert sum(len(rows) for rows in found) <= 200


def test_names_that_sql_cannot_tell_apart_are_refused() -> None:
    with pytest.raises(Invalid, match="distinct names"):
        opened(file(pa.table({"ID": ["a"], "id": ["b"]}))).columns()
    with pytest.raises(Invalid, match="file_row_number"):
        opened(file(pa.table({"id": ["a"], "file_row_number": [1]}))).columns()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.none() | st.text(),
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.booleans(),
            st.none() | st.lists(st.floats(-1e9, 1e9), max_size=3),
            st.none() | st.dictionaries(st.sampled_from(['x "y"', "z"]), st.floats(0, 1)),
        ),
        max_size=30,
    )
)
def test_what_is_written_is_read_back_and_is_the_same_each_time(rows: list[Any]) -> None:
    types: dict[str, Any] = {
        "text": "VARCHAR",
        'a "number"': "DOUBLE",
        "whole": "BIGINT",
        "truth": "BOOLEAN",
        "list": "DOUBLE[]",
        "named": {'x "y"': "DOUBLE", "z": "DOUBLE"},
    }
    columns = {name: [row[at] for row in rows] for at, name in enumerate(types)}
    data = write_parquet(columns, types)
    assert write_parquet(columns, types) == data
    found = pq.read_table(io.BytesIO(data))
    assert found.column_names == list(types)
    expected = columns | {
        "named": [
            v if v is None else {f: v.get(f) for f in types["named"]} for v in columns["named"]
        ]
    }
    assert found.to_pydict() == expected


def test_files_written_at_once_do_not_mix() -> None:
    given = [{"id": [f"{file}-{i}" for i in range(200)]} for file in range(16)]
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda columns: write_parquet(columns, {"id": "VARCHAR"}), given))
    assert [pq.read_table(io.BytesIO(data)).to_pydict() for data in written] == given
