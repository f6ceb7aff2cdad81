"""A stand-in for Athena: the statement of a training set, run by DuckDB over the tables it names.

It shows that the text and its tables fit each other; it is not Athena.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb

from neuralstream_core.history.sources import prepare
from neuralstream_core.objects import Location, Objects

__all__ = ["run_statement"]

_STATEMENT = re.compile(
    r"UNLOAD \((?P<query>.*)\)\s+TO '(?P<target>[^']+)'\s+WITH \(format = 'PARQUET'\)", re.DOTALL
)


def run_statement(statement: str, glue: Any, objects: Objects, database: str, folder: Path) -> None:
    """Write the rows of an UNLOAD to its target, as two files in no order.

    Args:
        folder: for copies of files.
    """
    match = _STATEMENT.fullmatch(statement)
    assert match is not None, statement[:200]
    target = Location.parse(match["target"])
    assert list(objects.listed(target)) == [], "an UNLOAD needs an empty folder"
    connection = duckdb.connect(config={"threads": 1})
    prepare(connection)
    connection.execute(f'CREATE SCHEMA "{database}"')
    for table in glue.get_tables(DatabaseName=database)["TableList"]:
        if table["Name"].startswith("job_"):
            _define(connection, objects, database, table, folder)
    connection.execute(f"CREATE TABLE joined AS {match['query']}")
    for piece in range(2):
        path = folder / f"joined-{piece}.parquet"
        rows = f"SELECT * FROM joined WHERE _label % 2 = {piece} ORDER BY _label DESC"  # noqa: S608
        connection.execute(f"COPY ({rows}) TO '{path}' (FORMAT parquet)")
        objects.write_file(target / path.name, path, "application/octet-stream")
    connection.close()


def _define(
    connection: duckdb.DuckDBPyConnection, objects: Objects, database: str, table: Any, folder: Path
) -> None:
    storage = table["StorageDescriptor"]
    found = [entry.at for entry in objects.listed(Location.parse(storage["Location"]))]
    if "Symlink" in storage["InputFormat"]:
        lines = [line for at in found for line in objects.read(at).decode().split()]
        found = [Location.parse(line) for line in lines]
    paths = []
    for number, at in enumerate(found):
        path = folder / f"{table['Name']}-{number}.parquet"
        path.write_bytes(objects.read(at))
        paths.append(f"'{path}'")
    columns = {column["Name"]: _type_of(column["Type"]) for column in storage["Columns"]}
    empty = ", ".join(f'CAST(NULL AS {type_}) AS "{name}"' for name, type_ in columns.items())
    # a file may have other columns than the table: by name, as Athena reads Parquet
    select = f"SELECT {empty} WHERE false"
    if paths:
        listed = f"read_parquet([{', '.join(paths)}], union_by_name = true)"
        select += f" UNION ALL BY NAME SELECT * FROM {listed}"  # noqa: S608
    connection.execute(f'CREATE VIEW "{database}"."{table["Name"]}" AS {select}')


def _type_of(type_: str) -> str:
    """DuckDB's name of a type of Glue."""
    if type_.startswith("array<"):
        return f"{_type_of(type_.removeprefix('array<').removesuffix('>'))}[]"
    return {"string": "VARCHAR", "int": "INTEGER"}.get(type_, type_.upper())
