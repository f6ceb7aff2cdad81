"""The text of the join as Athena gets it: parsed by the grammar of its dialect."""

from __future__ import annotations

import pytest
import sqlglot
from sqlglot import exp

from neuralstream_core.features.schema import Feature
from neuralstream_core.features.values import Dtype
from neuralstream_core.history.join import Lookup, Output, join_text
from neuralstream_core.history.mode import Mode
from tests.support.histories import view_of


@pytest.mark.parametrize("dialect", ["trino", "athena"])
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("ttl", [None, 60])
def test_the_text_is_trino_sql_and_uses_no_function_that_trino_lacks(dialect, mode, ttl):
    features = [Feature(name=f"x{i}", dtype=Dtype.INT64) for i in range(70)]
    view = view_of(*features, ttl_seconds=ttl)
    classes = [[Output(feature.name, feature.name)] for feature in features]
    lookups = [Lookup(view, "_entity_1", classes[:50]), Lookup(view, "_entity_2", classes[50:])]
    text = join_text(lookups, mode, ["id", 'a "quoted" name'], [f.name for f in features])
    (parsed,) = sqlglot.parse(text, dialect=dialect, error_level=sqlglot.ErrorLevel.RAISE)
    assert parsed is not None
    assert len(parsed.selects) == 72
    # what the parser has no class for is no function of the dialect
    assert [found.name for found in parsed.find_all(exp.Anonymous)] == []
    # operators of DuckDB that Trino does not have
    assert not any(operator in text for operator in ("&", "<<", "//", "::", "||"))
