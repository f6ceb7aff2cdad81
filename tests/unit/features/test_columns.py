"""Columns and rows are two forms of one thing: packed, refused and answered alike."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_core.errors import Invalid
from neuralstream_core.features import CellStatus, Dtype, Feature
from neuralstream_core.features._codec import Codec
from neuralstream_core.features.answers import BatchAnswer, columns_json
from neuralstream_core.features.block import build_block
from neuralstream_core.features.reads import ManyColumns, ManyRows
from neuralstream_core.features.writes import GivenColumns, GivenRows
from neuralstream_core.time import iso, to_micros
from tests.support.strategies import DAY, any_schema, features, rows_of, value_of, view_of

NOW = to_micros(DAY)
ENTITY = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
MOMENT = st.none() | st.integers(-(10**9), 60).map(lambda s: iso(NOW + s * 1_000_001))
STRANGE: list[Any] = [
    None, True, 0, -1, 2**24 + 1, 2**53 + 1, 2**63, 10**40, 10**400, 1.0, -0.0, 5e-324, 3.5e38, 1e300,
    float("nan"), float("inf"), "", "x", "\ud800", "x" * 65_537, [], [1], [1, 2], [1.5, None], [True, 1],
    [1, "x"], (1, 2), {}, {"a": 1}, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00", DAY, np.float32(0.1),
    np.int64(7), np.bool_(True), np.array([1, 2]),
]  # fmt: skip


def in_rows(columns: GivenColumns) -> GivenRows:
    """The same cells, one object a row."""
    rows: list[dict[str, Any]] = []
    for at, entity in enumerate(columns.entity_ids):
        given = columns.event_timestamp
        moment = given[at] if isinstance(given, list) else given
        cells = {name: values[at] for name, values in columns.columns.items()}
        rows.append({"entity_id": entity, "features": cells, "event_timestamp": moment})
    return GivenRows(rows)


def packed_or_refused(codec: Codec, given: GivenRows | GivenColumns) -> Any:
    try:
        return given.pack(codec, NOW)
    except Invalid as error:
        return error


def place_in_columns(loc: str) -> str:
    """``rows.3.features.age`` is ``columns.age[3]``, ``rows.3.entity_id`` is ``entity_ids.3``."""
    _, row, field, *name = loc.split(".")
    if name:
        return f"columns.{name[0]}[{row}]"
    return f"{'entity_ids' if field == 'entity_id' else field}.{row}"


@st.composite
def columns_of(draw: st.DrawFn, chosen: list[Feature]) -> GivenColumns:
    some = draw(st.lists(st.sampled_from(chosen), min_size=1, unique_by=lambda f: f.name))
    if draw(st.booleans()):
        some = chosen
    ids = draw(st.lists(ENTITY | st.integers(), max_size=5))
    moments = st.lists(MOMENT, min_size=len(ids), max_size=len(ids))
    return GivenColumns(
        ids,
        {f.name: draw(st.lists(value_of(f), min_size=len(ids), max_size=len(ids))) for f in some},
        draw(MOMENT | moments),
    )


@any_schema
@given(st.data())
def test_columns_make_the_bytes_that_rows_make(data: st.DataObject) -> None:
    chosen = data.draw(features())
    codec = Codec(view_of(chosen, schema_version=3), "test", 1000)
    columns = data.draw(columns_of(chosen))
    assert columns.pack(codec, NOW) == in_rows(columns).pack(codec, NOW)


@any_schema
@given(st.data())
def test_what_a_row_refuses_a_column_refuses_at_the_same_cell(data: st.DataObject) -> None:
    chosen = data.draw(features(max_size=3))
    codec = Codec(view_of(chosen), "test", 1000)
    count = data.draw(st.integers(1, 4))
    cell = st.integers(0, len(STRANGE) - 1).map(lambda at: STRANGE[at])  # whose reprs are long
    columns = GivenColumns(
        data.draw(st.lists(st.sampled_from(["u", 1, "", 1.5, True, ["u"], "\ud800", None]), min_size=count,
                           max_size=count)),
        {
            feature.name: data.draw(st.lists(cell | value_of(feature), min_size=count, max_size=count))
            for feature in chosen
        },
        data.draw(st.lists(MOMENT | st.sampled_from(["now", 1, [], iso(NOW + 10**9)]), min_size=count,
                           max_size=count)),
    )  # fmt: skip
    by_row, by_column = (
        packed_or_refused(codec, in_rows(columns)),
        packed_or_refused(codec, columns),
    )
    if isinstance(by_row, Invalid):
        assert isinstance(by_column, Invalid)
        assert by_column.code == by_row.code
        assert {(e.loc, e.msg) for e in by_column.errors} == {
            (place_in_columns(e.loc), e.msg) for e in by_row.errors
        }
    else:
        assert by_column == by_row


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("float64", np.array([1.5, -0.0, 1e300])),
        ("float32", np.array([1.5, -0.0, 1e30], np.float32)),
        ("float64", np.array([1.5, 2.5, 0.1], np.float32)),
        ("float32", np.array([1, 2, 3])),
        ("int64", np.array([1, -2, 2**62])),
        ("int64", np.array([1, 2, 3], np.uint8)),
        ("bool", np.array([True, False, True])),
        ("string", np.array(["a", "", "ü"])),
    ],
)
def test_arrays_are_packed_as_their_values(dtype: str, values: np.ndarray) -> None:
    codec = Codec(view_of([Feature(name="f", dtype=Dtype(dtype))]), "test", 1000)
    ids = ["a", "b", "c"]
    assert GivenColumns(ids, {"f": values}).pack(codec, NOW) == GivenColumns(
        ids, {"f": values.tolist()}
    ).pack(codec, NOW)


def test_an_array_is_finite_and_of_the_features_own_kind() -> None:
    chosen = [Feature(name="x", dtype=Dtype.FLOAT64), Feature(name="n", dtype=Dtype.INT64)]
    codec = Codec(view_of(chosen), "test", 1000)
    columns = {"x": np.array([1.0, np.nan, np.inf]), "n": np.array([1.0, 2.0, 3.0])}
    with pytest.raises(Invalid) as refused:
        GivenColumns(["a", "b", "c"], columns).pack(codec, NOW)
    assert [wrong.loc for wrong in refused.value.errors] == [
        "columns.x[1]", "columns.x[2]", "columns.n[0]", "columns.n[1]", "columns.n[2]",
    ]  # fmt: skip


def test_the_first_hundred_wrong_cells_are_named() -> None:
    codec = Codec(view_of([Feature(name="n", dtype=Dtype.INT64)]), "test", 1000)
    ids = [str(i) for i in range(500)]
    with pytest.raises(Invalid) as refused:
        GivenColumns(ids, {"n": ["x"] * 500}, ["now"] * 500).pack(codec, NOW)
    assert len(refused.value.errors) == 100


def test_a_row_whose_strings_are_too_long_is_named_by_its_entity() -> None:
    chosen = [Feature(name=f"s{i}", dtype=Dtype.STRING) for i in range(5)]
    codec = Codec(view_of(chosen), "test", 1000)
    columns = {f"s{i}": ["x", "x" * 60_000] for i in range(5)}
    with pytest.raises(Invalid) as refused:
        GivenColumns(["a", "b"], columns).pack(codec, NOW)
    assert [wrong.loc for wrong in refused.value.errors] == ["entity_ids.1"]


@any_schema
@given(st.data())
def test_an_answer_in_columns_says_what_the_rows_say(data: st.DataObject) -> None:
    """Rows of two schema versions, missing entities and expired rows."""
    chosen = data.draw(features(min_size=2))
    beginning = chosen[: data.draw(st.integers(1, len(chosen)))]
    ttl = data.draw(st.none() | st.just(60))
    view = view_of(chosen, schema_version=2, ttl_seconds=ttl)
    codec, older = Codec(view, "test", 1000), Codec(view_of(beginning), "test", 1000)
    raws: list[bytes | None] = []
    for _ in range(data.draw(st.integers(0, 6))):
        writer, cells = data.draw(st.sampled_from([(codec, chosen), (older, beginning)]))
        moment = DAY - timedelta(seconds=data.draw(st.sampled_from([0, 0.000001, 100])))
        row = {"entity_id": "u", "features": data.draw(rows_of(cells)), "event_timestamp": moment}
        missing = data.draw(st.booleans())
        raws.append(None if missing else GivenRows([row]).pack(writer, NOW).rows[0])
    asked = data.draw(st.none() | st.lists(st.sampled_from([f.name for f in chosen]), min_size=1))
    decoder = codec.decoder(None if asked is None else tuple(asked))
    ids = [f"u{i}" for i in range(len(raws))]

    found = [None if raw is None else decoder.decode(raw, NOW) for raw in raws]
    by_row = json.loads(
        BatchAnswer.of(ManyRows(view, ids, found, decoder.missing)).model_dump_json()
    )
    block = build_block(decoder.selection, raws, NOW, event_times=True)
    text = columns_json(ManyColumns(view, ids, block))
    by_column = json.loads(text)

    assert by_column["feature_view"] == by_row["feature_view"]
    assert by_column["entity_ids"] == [row["entity_id"] for row in by_row["results"]]
    assert by_column["event_timestamps"] == [row["event_timestamp"] for row in by_row["results"]]
    names = list(dict.fromkeys(decoder.selection.names))
    assert list(by_column["columns"]) == names
    for name in names:
        cells = [row["features"][name] for row in by_row["results"]]
        assert by_column["columns"][name] == cells
        status: dict[str, list[int]] = {}
        for at, row in enumerate(by_row["results"]):
            if name in row["status"]:
                status.setdefault(row["status"][name], []).append(at)
        assert by_column["status"].get(name, {}) == status
    assert set(by_column["status"]) <= set(names)
    plain = columns_json(ManyColumns(view, ids, build_block(decoder.selection, raws, NOW)))
    assert "event_timestamps" not in json.loads(plain)


def test_a_cell_that_is_null_has_a_time_and_one_never_written_has_none() -> None:
    chosen = [Feature(name="a", dtype=Dtype.INT64), Feature(name="b", dtype=Dtype.INT64)]
    codec = Codec(view_of(chosen), "test", 1000)
    (raw,) = GivenColumns(["u"], {"a": [None]}).pack(codec, NOW).rows
    for name, status, time in [
        ("a", CellStatus.NULL, iso(NOW)),
        ("b", CellStatus.NOT_FOUND, None),
    ]:
        block = build_block(codec.decoder((name,)).selection, [raw], NOW, event_times=True)
        answer = json.loads(columns_json(ManyColumns(view_of(chosen), ["u"], block)))
        assert answer["columns"] == {name: [None]}
        assert answer["status"] == {name: {status.name: [0]}}
        assert answer["event_timestamps"] == [time]
