"""Inputs of jobs that are here and not in S3: tables, and files on the caller's disk."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from neuralstream_client.errors import DataError
from neuralstream_client.extras import extra
from neuralstream_client.tables import TableLike

__all__ = ["InputFile", "JobInput", "input_file"]

JobInput: TypeAlias = str | Path | TableLike
"""``s3://bucket/key``, a file on this disk, or a table: what is not in S3 is sent to the stack's bucket."""

_FORMATS: Final = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_MAX_BYTES: Final = 1 << 30
_MAX_EXACT: Final = 1 << 53
"""Largest whole number up to which floats have all."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file to send.

    Args:
        format: ``csv``, ``jsonl`` or ``parquet``.
        content: its bytes.
    """

    format: str
    content: bytes

    def request(self) -> dict[str, Any]:
        """The body of ``POST /jobs/uploads``."""
        digest = hashlib.sha256(self.content).hexdigest()
        return {"format": self.format, "size": len(self.content), "sha256": digest}


def input_file(given: JobInput, declared: str | None = None) -> InputFile | None:
    """What is to be sent; ``None`` for an address in S3.

    Args:
        given: see `JobInput`.
        declared: the format of a file whose extension does not say it.

    Raises:
        ConfigurationError: a table, and no library for Parquet is installed.
        DataError: the file cannot be read, is empty or has more than 1 GiB, or its format is not known.
    """
    if isinstance(given, (str, Path)):
        if str(given).startswith("s3://"):
            return None
        found = _of_disk(Path(given), declared)
    else:
        found = InputFile("parquet", _parquet(given))
    if not 0 < len(found.content) <= _MAX_BYTES:
        raise DataError(f"the input has {len(found.content)} bytes: send 1 to {_MAX_BYTES}")
    return found


def _of_disk(path: Path, declared: str | None) -> InputFile:
    form = declared or _FORMATS.get(path.suffix.lower())
    if form is None:
        raise DataError(f"{path}: end it in {', '.join(_FORMATS)} or say input_format")
    try:
        return InputFile(form, path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _parquet(table: TableLike) -> bytes:
    """The table as a Parquet file, times in microseconds."""
    out = io.BytesIO()
    if type(table).__module__.partition(".")[0] == "polars":
        frame = table.collect() if hasattr(table, "collect") else table
        frame.write_parquet(out)
        return out.getvalue()
    arrow, parquet = extra("pyarrow", "arrow"), extra("pyarrow.parquet", "arrow")
    if type(table).__module__.partition(".")[0] == "pandas":
        made = arrow.Table.from_pandas(_with_whole_numbers(table), preserve_index=False)
    elif isinstance(table, Mapping):
        made = arrow.table(dict(table))
    elif isinstance(table, Sequence):
        made = arrow.Table.from_pylist([dict(row) for row in table])
    elif hasattr(table, "__arrow_c_stream__") or hasattr(table, "column_names"):
        made = arrow.table(table)
    else:
        raise DataError(f"a {type(table).__name__} is neither a table nor the address of one")
    parquet.write_table(made, out, coerce_timestamps="us", allow_truncated_timestamps=True)
    return out.getvalue()


def _with_whole_numbers(frame: Any) -> Any:
    """A pandas frame whose whole numbers are such again where missing values have made them floats."""
    whole = {
        name: column.astype("Int64")
        for name, column in frame.items()
        if column.dtype.kind == "f"
        and column.hasnans
        and (column.dropna() % 1 == 0).all()
        and not (column.abs() > _MAX_EXACT).any()
    }
    return frame.assign(**whole)
