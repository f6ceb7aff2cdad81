"""The input file of a job: pinned, cut into chunks, read chunk by chunk in columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from neuralstream_core.errors import Conflict, Invalid, TooLarge
from neuralstream_core.objects import Location, Objects
from neuralstream_core.serving.batch.locations import InputFormat
from neuralstream_core.serving.batch.rows import (
    SLICE,
    InputRows,
    InputSchema,
    csv_header,
    csv_rows,
    jsonl_rows,
    parquet_rows,
)
from neuralstream_core.serving.batch.splitting import (
    Chunk,
    cut_groups,
    cut_lines,
    split,
    split_header,
)

__all__ = ["MAX_CHUNKS", "MAX_INPUT", "CutInput", "InputFile"]

MAX_INPUT: Final[Mapping[InputFormat, int]] = {
    "csv": 32 << 30,
    "jsonl": 32 << 30,
    "parquet": 256 << 30,
}
"""Bytes of an input: what one Lambda invocation can scan (CSV, JSONL)."""
MAX_CHUNKS: Final = 10_000


class CutInput(NamedTuple):
    """An input's columns (none of JSON lines or an empty file), and its chunks, found when asked for."""

    columns: tuple[str, ...]
    chunks: Iterator[Chunk]

    def listed(self) -> list[Chunk]:
        """All chunks.

        Raises:
            TooLarge: there are too many.
            Invalid: the input cannot be cut.
        """
        chunks = list(self.chunks)
        if len(chunks) > MAX_CHUNKS:
            raise TooLarge(
                f"the input makes {len(chunks)} chunks; at most {MAX_CHUNKS} are allowed: divide it over"
                " several jobs",
                code="input_too_large",
            )
        return chunks


class InputFile(NamedTuple):
    """One state of an object in S3.

    Attributes:
        size, etag: of the state; another state is not read.

    Raises (every method):
        Conflict: the object was replaced.
        NotFound, Forbidden, Unavailable: as `Objects`.
        Invalid: it cannot be decoded.
    """

    objects: Objects
    at: Location
    kind: InputFormat
    size: int
    etag: str

    @classmethod
    def now(cls, objects: Objects, at: Location, kind: InputFormat) -> InputFile:
        """The object as it is now.

        Raises:
            TooLarge: it is larger than a job's input may be.
        """
        stat = objects.stat(at)
        if stat.size > MAX_INPUT[kind]:
            raise TooLarge(
                f"a {kind} input may have at most {MAX_INPUT[kind]} bytes;"
                " divide it over several jobs",
                code="input_too_large",
            )
        return cls(objects, at, kind, stat.size, stat.etag)

    def check(self, etag: str) -> None:
        """Raises:
        Conflict: ``etag`` is that of another state.
        """
        if etag != self.etag:
            raise Conflict(f"{self.at} was replaced since the job began", code="input_changed")

    def cut(self, rows: int) -> CutInput:
        """Chunks of about ``rows`` rows at most."""
        if self.kind == "parquet":
            from neuralstream_core.serving.batch.parquet import ParquetInput

            file = ParquetInput(self.objects, self.at, self.size, self.etag)
            return CutInput(file.columns(), cut_groups(file.row_groups(), rows))
        blocks = self.objects.stream(self.at, 0, self.size, self.etag)
        if self.kind == "jsonl":
            return CutInput((), cut_lines(blocks, 0, 1, quoted=False, rows=rows))
        blocks, first, lines = split_header(blocks)
        if not first.strip(b"\r\n"):
            if self.size > len(first):
                raise Invalid.at(
                    "input", "the first line must name the columns", code="invalid_input"
                )
            return CutInput((), iter(()))
        header = csv_header(first.removesuffix(b"\n"))
        chunks = cut_lines(blocks, len(first), 1 + lines, quoted=True, rows=rows)
        return CutInput(header, chunks)

    def rows(
        self, chunk: Chunk, schema: InputSchema, columns: tuple[str, ...]
    ) -> Iterator[InputRows]:
        """The rows of a chunk, at most `SLICE` at a time.

        Args:
            columns: of the input, as `CutInput` has them.
        """
        if self.kind == "parquet":
            from neuralstream_core.serving.batch.parquet import ParquetInput

            file = ParquetInput(self.objects, self.at, self.size, self.etag)
            first = chunk.first_line - 1
            rows = sum(file.row_groups()[chunk.start : chunk.end])
            yield from parquet_rows(file, schema, first, first + rows)
            return
        blocks = self.objects.stream(self.at, chunk.start, chunk.end, self.etag)
        quoted = self.kind == "csv"
        for block in split(blocks, quoted=quoted, first_line=chunk.first_line):
            for records in block.slices(SLICE):
                if quoted:
                    yield csv_rows(records, schema, columns)
                else:
                    yield jsonl_rows(records, schema)
