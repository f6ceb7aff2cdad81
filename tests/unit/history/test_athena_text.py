"""The whole statement for Athena: parsed in its dialect, and its preamble run by DuckDB."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from neuralstream_core.errors import Invalid
from neuralstream_core.features.schema import Feature
from neuralstream_core.features.values import Dtype
from neuralstream_core.history.athena import MAX_QUERY, athena_query, unload
from neuralstream_core.history.join import Lookup, Output
from neuralstream_core.history.mode import Mode
from neuralstream_core.history.sources import prepare
from neuralstream_core.objects import Location
from tests.support.histories import START, Row, view_of, write_files

AT = Location("lake", "jobs/_work/job-1/joined/")


def query_of(
    features: int, mode: Mode = Mode.AS_OF, ttl: int | None = None, lookups: int = 2
) -> str:
    view = view_of(
        *(Feature(name=f"x{i}", dtype=Dtype.INT64) for i in range(features)), ttl_seconds=ttl
    )
    outputs = [Output(name, f"_f{place}") for place, name in enumerate(view.names)]
    roles = [
        Lookup(view, f"_entity_{number}", [[output] for output in outputs[number - 1 :: lookups]])
        for number in range(1, lookups + 1)
    ]
    tables = [f"job_1_history_{number}" for number in range(1, lookups + 1)]
    columns = [output.column for output in outputs]
    return athena_query("stack_history", "job_1_labels", tables, roles, mode, columns)


@pytest.mark.parametrize("dialect", ["trino", "athena"])
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("ttl", [None, 60])
def test_the_query_is_trinos_and_reads_nothing_but_the_tables_of_its_job(
    mode: Mode, ttl: int | None, dialect: str
) -> None:
    text = query_of(70, mode, ttl)
    (parsed,) = sqlglot.parse(text, dialect=dialect, error_level=sqlglot.ErrorLevel.RAISE)
    assert parsed is not None
    assert [found.name for found in parsed.find_all(exp.Anonymous)] == []
    assert len(parsed.selects) == 71
    defined = {step.alias for step in parsed.find_all(exp.CTE)}
    read = {(table.db, table.name) for table in parsed.find_all(exp.Table)}
    assert {(database, name) for database, name in read if name not in defined} == {
        ("stack_history", "job_1_labels"),
        ("stack_history", "job_1_history_1"),
        ("stack_history", "job_1_history_2"),
    }
    assert not any(operator in text for operator in ("&", "<<", "//", "::", "||"))


def test_the_statement_writes_parquet_into_the_folder() -> None:
    text = unload(query_of(2), AT)
    assert text.startswith("UNLOAD (\nSELECT * FROM (\nWITH labels AS (")
    assert text.endswith(f"TO '{AT}'\nWITH (format = 'PARQUET')")


def test_a_statement_that_athena_would_not_take_is_refused() -> None:
    assert len(json.dumps(unload(query_of(500), AT))) < MAX_QUERY
    with pytest.raises(Invalid) as refused:
        unload(query_of(500, lookups=150), AT)
    assert refused.value.code == "training_set_too_large"


def test_of_rows_at_one_time_the_later_write_then_the_request_then_the_row_wins(
    tmp_path: Path,
) -> None:
    view = view_of(Feature(name="x", dtype=Dtype.INT64))
    early, late = START - 7, START + 10**15
    ranked = [
        ("a", early, early, "zz", 9),
        ("a", START, START, "zz", 9),
        ("a", START, late, "r", 2),
        ("a", START, late, "r", 10),
        ("a", START, late, "r1", 0),
        ("a", START, late, "s", 0),
    ]
    rows = [Row(*key, 1, {"x": place}) for place, key in enumerate(ranked)]
    database = duckdb.connect(config={"threads": 1})
    prepare(database)
    database.execute("CREATE SCHEMA s")
    database.execute(
        "CREATE TABLE s.labels AS SELECT CAST(1 AS BIGINT) AS _label,"
        f" CAST({late} AS BIGINT) AS _time, 'a' AS _entity_1"
    )
    lookups = [Lookup(view, "_entity_1", [[Output("x", "_f0")]])]
    text = athena_query("s", "labels", ["history"], lookups, Mode.AS_OF, ["_f0"])
    for newest in range(1, len(rows) + 1):
        folder = tmp_path / str(newest)
        folder.mkdir()
        paths = [path for day in write_files(view, rows[:newest], folder) for path in day]
        database.read_parquet(paths).create_view("found", replace=True)
        database.execute("CREATE OR REPLACE VIEW s.history AS SELECT * FROM found")
        assert database.execute(text).fetchall() == [(1, newest - 1)]
