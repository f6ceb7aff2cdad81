"""Working documents and output files of a job in S3.

Below ``jobs/_work/{job_id}/`` in the data bucket: ``plan.json``, what all chunks have in common;
``chunks.json``, an array that the state machine's map reads; and ``results/{n}.json``, what each chunk did.
Their models are those of the job's kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter
from pydantic_core import to_json

from neuralstream_core.errors import Forbidden, NotFound
from neuralstream_core.jobs.tasks import Planned
from neuralstream_core.objects import Location, Objects
from neuralstream_core.types import Record

__all__ = ["JOBS", "WORK", "File", "JobFiles", "Numbered", "json_columns", "json_lines"]

JOBS: Final = "jobs/"
"""The only prefix of the data bucket that jobs may use; their IAM role allows no other, apart from reading
artifacts."""
WORK: Final = JOBS + "_work/"
"""Prefix of the working files of jobs; no input or output may be there."""
_JSON: Final = "application/json"
_READERS: Final = 8
"""Chunk results that are read at once."""


def json_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """A JSON lines file of objects."""
    return b"".join([to_json(row) + b"\n" for row in rows])


def json_columns(columns: Mapping[str, Sequence[Any]]) -> bytes:
    """The JSON lines of rows that are given in columns, where ``None`` is left out: what `json_lines` makes
    of the rows one by one, in less than half of the time."""
    absent = {name: values.count(None) for name, values in columns.items()}
    given = [name for name, values in columns.items() if absent[name] < len(values)]
    if not given or absent[given[0]]:  # a row begins with another field than its neighbour
        rows = zip(*columns.values(), strict=True)
        return json_lines(
            {name: v for name, v in zip(columns, row, strict=True) if v is not None} for row in rows
        )
    line, fields = b"", list[list[bytes]]()
    for name in given:
        key = (b"," if line else b"") + to_json(name) + b":"
        texts = _texts(columns[name])
        if absent[name]:
            line += b"%b"
            fields.append([b"" if text == b"null" else key + text for text in texts])
        else:
            line += key.replace(b"%", b"%%") + b"%b"
            fields.append(texts)
    line = b"{%b}\n" % line
    return b"".join([line % row for row in zip(*fields, strict=True)])


def _texts(values: Sequence[Any]) -> list[bytes]:
    """The JSON text of each value."""
    if not isinstance(values[0], dict | list):
        texts = to_json(values)[1:-1].split(b",")
        if len(texts) == len(values):  # no value has a comma of its own
            return texts
    return [to_json(value) for value in values]


class File(Record):
    """A written file."""

    uri: str
    rows: int
    bytes: int
    sha256: str


class Numbered(Record):
    """What belongs to one chunk."""

    chunk: int


P = TypeVar("P", bound=BaseModel)
C = TypeVar("C", bound=Numbered)
R = TypeVar("R", bound=Numbered)


class JobFiles(Generic[P, C, R]):
    """Reads and writes the files of one job.

    Args:
        plan, chunk, result: models of the documents.

    Raises (every method):
        RuntimeError: a working file is missing, or the role may not use the data bucket; neither is the
            fault of the job's input.
        Unavailable: as `Objects`.
    """

    def __init__(
        self,
        objects: Objects,
        data_bucket: str,
        job_id: str,
        plan: type[P],
        chunk: type[C],
        result: type[R],
    ) -> None:
        self._objects = objects
        self._root = Location(data_bucket, f"{WORK}{job_id}/")
        self._plan, self._result = plan, result
        self._chunks = TypeAdapter[tuple[C, ...]](tuple[chunk, ...])  # type: ignore[valid-type]

    def plan(self) -> P:
        """The stored plan."""
        return self._plan.model_validate_json(self._read(self._root / "plan.json"))

    def chunks(self) -> tuple[C, ...]:
        """The stored chunks, in order."""
        return self._chunks.validate_json(self._read(self._root / "chunks.json"))

    def write_plan(self, plan: P, chunks: Sequence[C]) -> Planned:
        """Store the plan and its chunks."""
        listed = self._root / "chunks.json"
        self._write(self._root / "plan.json", plan.model_dump_json().encode(), _JSON)
        self._write(listed, self._chunks.dump_json(tuple(chunks)), _JSON)
        return Planned(len(chunks), listed.bucket, listed.key)

    def results(self) -> list[R]:
        """The stored result of each chunk, in order."""
        with ThreadPoolExecutor(_READERS) as pool:
            return list(pool.map(lambda chunk: self._result_of(chunk.chunk), self.chunks()))

    def write_result(self, result: R) -> None:
        """Store the result of a chunk."""
        self._write(self._at(result.chunk), result.model_dump_json().encode(), _JSON)

    def write_output(self, at: Location, data: bytes, content_type: str, rows: int) -> File:
        """Write a file of the output.

        Raises:
            NotFound, Forbidden: besides, of a bucket that the job's owner chose.
        """
        digest = self._write(at, data, content_type)
        return File(uri=str(at), rows=rows, bytes=len(data), sha256=digest)

    def write_manifest(self, at: Location, manifest: BaseModel) -> None:
        """Write the manifest; raises as `write_output`."""
        self._write(at, manifest.model_dump_json(indent=1).encode(), _JSON)

    def _result_of(self, chunk: int) -> R:
        return self._result.model_validate_json(self._read(self._at(chunk)))

    def _at(self, chunk: int) -> Location:
        return self._root / f"results/{chunk:05d}.json"

    def _read(self, at: Location) -> bytes:
        with self._own(at):
            return self._objects.read(at)

    def _write(self, at: Location, data: bytes, content_type: str) -> str:
        with self._own(at):
            return self._objects.write(at, data, content_type)

    @contextmanager
    def _own(self, at: Location) -> Iterator[None]:
        try:
            yield
        except (NotFound, Forbidden) as error:
            if at.bucket != self._root.bucket:
                raise
            raise RuntimeError(f"a file of the job itself: {error.detail}") from error
