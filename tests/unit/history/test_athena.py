"""The join's text in Athena's grammar, which is Trino's."""

from __future__ import annotations

import pytest
import sqlglot
from sqlglot import exp

from neuralstream_core.features.schema import Feature
from neuralstream_core.features.values import Dtype
from neuralstream_core.history.join import Lookup, Mode, Output, join_text
from tests.support.histories import view_of

FEATURES = [
    Feature(name="f64", dtype=Dtype.FLOAT64),
    Feature(name="F64", dtype=Dtype.FLOAT64),
    Feature(name="select", dtype=Dtype.STRING),
    Feature(name="a.b-c", dtype=Dtype.INT64),
    Feature(name="vec", dtype=Dtype.FLOAT32, shape=(3,)),
    *(Feature(name=f"x{i}", dtype=Dtype.INT64) for i in range(40)),
]


def text_of(mode: Mode, ttl: int | None) -> str:
    view = view_of(*FEATURES, keys=("id",), ttl_seconds=ttl)
    outputs = [Output(name, f"out:{name}:{i}") for i, name in enumerate(view.names)]
    classes = [outputs[:5], *([output] for output in outputs[5:])]
    return join_text(
        [Lookup(view, "_entity_1", classes)], mode, ["id", "at", "y"], [o.column for o in outputs]
    )


@pytest.mark.parametrize("dialect", ["trino", "athena", "duckdb"])
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("ttl", [None, 3600])
def test_both_engines_read_the_same_text(mode: Mode, ttl: int | None, dialect: str) -> None:
    parsed = sqlglot.parse_one(text_of(mode, ttl), dialect=dialect)
    assert isinstance(parsed, exp.Select)
    defined = {step.alias for step in parsed.ctes}
    read = {table.name for table in parsed.find_all(exp.Table)}
    assert read - defined == {"labels", "history_1"}
    assert len(parsed.selects) == 3 + len(FEATURES)


def test_only_functions_that_trino_has_are_called() -> None:
    parsed = sqlglot.parse_one(text_of(Mode.AS_KNOWN, 3600), dialect="trino")
    unknown = {call.name for call in parsed.find_all(exp.Anonymous)}
    assert unknown == set()
    known = {type(call) for call in parsed.find_all(exp.Func)} - {exp.Cast, exp.Case}
    assert {kind.sql_name() for kind in known} <= {
        "AND",
        "BITWISE_AND",
        "BITWISE_AND_AGG",
        "COUNT",
        "GREATEST",
        "IF",
        "MAX",
        "MIN",
        "SUM",
    }
