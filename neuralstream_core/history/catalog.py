"""Tables of the Glue catalog over Parquet files, as Athena reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from neuralstream_core.errors import Unavailable
from neuralstream_core.history.schema import Column
from neuralstream_core.objects import Location

__all__ = ["CatalogDatabase", "parquet_storage"]

_TYPES: Final[Mapping[str, str]] = {
    "VARCHAR": "string",
    "BIGINT": "bigint",
    "INTEGER": "int",
    "FLOAT": "float",
    "DOUBLE": "double",
    "BOOLEAN": "boolean",
}
_LISTS: Final = "org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat"
_FILES: Final = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
_OUTPUT: Final = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
_SERDE: Final = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"


class CatalogDatabase:
    """Creates, replaces and removes tables of one database.

    Args:
        glue: ``boto3.client("glue")``.
        name: of the database.

    Raises (every method):
        Unavailable: Glue cannot be reached or failed.
    """

    def __init__(self, glue: Any, name: str) -> None:
        self._glue, self.name = glue, name

    def put(self, table: Mapping[str, Any]) -> None:
        """Create the table, or replace the one of its name; ``table`` is Glue's ``TableInput``."""
        request: dict[str, Any] = {"DatabaseName": self.name, "TableInput": table}
        changed = self._call("update_table", request | {"SkipArchive": True}, missing_is_fine=True)
        if changed is None:
            self._call("create_table", request)

    def remove(self, table: str) -> None:
        """Remove a table, if there is one of this name; its files are not touched."""
        request = {"DatabaseName": self.name, "Name": table}
        self._call("delete_table", request, missing_is_fine=True)

    def _call(
        self, operation: str, request: dict[str, Any], *, missing_is_fine: bool = False
    ) -> Any:
        """The answer; ``None`` for a table that is not there, where that is fine."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(self._glue, operation)(**request)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if missing_is_fine and code == "EntityNotFoundException":
                return None
            raise Unavailable(
                f"the Glue catalog answered {code or 'an error'}", dependency="catalog"
            ) from error
        except BotoCoreError as error:
            raise Unavailable(
                f"the Glue catalog cannot be reached ({type(error).__name__})", dependency="catalog"
            ) from error


def parquet_storage(
    columns: Sequence[Column], folder: Location, *, listed: bool = True
) -> dict[str, Any]:
    """Glue's ``StorageDescriptor`` of a table over Parquet files; a file may have further columns.

    Args:
        columns: with types of DuckDB.
        folder: where the files are.
        listed: the folder holds texts that list the files, one address per line, in place of the files.
    """
    return {
        "Columns": [{"Name": c.name, "Type": _type_of(c.type)} for c in columns],
        "Location": str(folder),
        "InputFormat": _LISTS if listed else _FILES,
        "OutputFormat": _OUTPUT,
        "SerdeInfo": {"SerializationLibrary": _SERDE},
    }


def _type_of(type_: str) -> str:
    """Glue's name of a type of DuckDB."""
    if type_.endswith("[]"):
        return f"array<{_TYPES[type_[:-2]]}>"
    return _TYPES[type_]
