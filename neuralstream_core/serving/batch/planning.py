"""The first task of a job: pin what it works with and cut its input into chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final

from pydantic import TypeAdapter

from neuralstream_core.errors import Conflict, Invalid, TooLarge
from neuralstream_core.registry.allocation import BUCKETS, Allocation, allocation_in_force
from neuralstream_core.registry.records import ModelRecord, Signature, VersionRecord, VersionStatus
from neuralstream_core.serving.answers import OutputReader
from neuralstream_core.serving.batch.footer import read_footer
from neuralstream_core.serving.batch.jobs import JobRecord, Jobs, Pins
from neuralstream_core.serving.batch.locations import Buckets, InputFormat, Location, input_format
from neuralstream_core.serving.batch.manifest import (
    Chunk,
    Plan,
    PredictionType,
    Workspace,
    own_files,
)
from neuralstream_core.serving.batch.objects import Objects
from neuralstream_core.serving.batch.rows import csv_header
from neuralstream_core.serving.batch.splitting import MAX_RECORD, boundaries
from neuralstream_core.time import Clock

__all__ = [
    "MAX_CHUNKS",
    "MAX_INPUT",
    "Planned",
    "Planner",
    "Served",
    "allocation_of",
    "cut_groups",
    "cut_lines",
]

MAX_INPUT: Final[Mapping[InputFormat, int]] = {
    "csv": 32 << 30,
    "jsonl": 32 << 30,
    "parquet": 256 << 30,
}
"""Bytes of an input: what one Lambda invocation can scan (CSV, JSONL)."""
MAX_CHUNKS: Final = 10_000
CHUNK_BYTES: Final = 16 << 20
CHUNK_ROWS: Final = 100_000
_CHUNK_CELLS: Final = 8 << 20
"""Feature values of one chunk: 64 MiB as float64, since a chunk holds them until it is counted."""
_BOM: Final = b"\xef\xbb\xbf"
_CHUNKS: Final = TypeAdapter(list[Chunk])


@dataclass(frozen=True, slots=True)
class Served:
    """The versions a job predicts with and who answers for whom."""

    model: ModelRecord
    versions: Mapping[str, VersionRecord]
    allocation: Allocation


@dataclass(frozen=True, slots=True)
class Planned:
    """What the state machine goes on with."""

    job_id: str
    chunks: int
    manifest: Location


class Planner:
    """Plans jobs.

    Args:
        serves: the versions for a model, pinned to one when a version is named.
        keys_of: the entity keys of a feature view.
        data_bucket: where plans and results are kept.
    """

    def __init__(
        self,
        jobs: Jobs,
        objects: Objects,
        buckets: Buckets,
        data_bucket: str,
        clock: Clock,
        serves: Callable[[str, str | None], Served],
        keys_of: Callable[[str], tuple[str, ...]],
    ) -> None:
        self._jobs, self._objects, self._buckets = jobs, objects, buckets
        self._data_bucket, self._clock = data_bucket, clock
        self._serves, self._keys_of = serves, keys_of

    def plan(self, job_id: str) -> Planned:
        """Pin, cut, write the manifest. A second call plans the same again.

        Raises:
            NotFound: no such job, input, model or version.
            Invalid: the input cannot be cut, or the model cannot predict from a file.
            TooLarge: the input or the number of its chunks is over a limit.
            Conflict: the job is done, or the input was replaced since the first call.
            RuntimeError: the role may not write the plan.
        """
        job = self._jobs.get(job_id)
        at = self._buckets.check(job.input, "input")
        stat = self._objects.stat(at)
        kind = input_format(at, job.input_format)
        if stat.size > MAX_INPUT[kind]:
            raise TooLarge(
                f"a {kind} input may have at most {MAX_INPUT[kind]} bytes;"
                " divide it over several jobs",
                code="input_too_large",
            )
        served = self._serves(job.model, job.version)
        job, pins = self._jobs.begin(
            job_id,
            Pins(
                as_of=self._clock(),
                size=stat.size,
                etag=stat.etag,
                salt=served.model.salt,
                allocation=served.allocation,
            ),
        )
        if pins.etag != stat.etag:
            raise Conflict(f"{at} was replaced since the job began", code="input_changed")
        plan = self._plan_of(job, kind, pins, served.versions.values())
        width = max(sum(ref.size for ref in v.features) for v in served.versions.values())
        rows = max(1, min(CHUNK_ROWS, _CHUNK_CELLS // max(1, width)))
        plan, chunks = self._cut(plan, at, rows)
        if len(chunks) > MAX_CHUNKS:
            raise TooLarge(
                f"the input makes {len(chunks)} chunks of {rows} rows; at most {MAX_CHUNKS} are"
                " allowed: divide it over several jobs",
                code="input_too_large",
            )
        workspace = Workspace(self._data_bucket, job_id)
        with own_files():
            self._objects.write(workspace.plan, plan.model_dump_json().encode(), "application/json")
            self._objects.write(workspace.chunks, _CHUNKS.dump_json(chunks), "application/json")
        self._jobs.planned(job_id, len(chunks))
        return Planned(job_id, len(chunks), workspace.chunks)

    def _plan_of(
        self, job: JobRecord, kind: InputFormat, pins: Pins, versions: Iterable[VersionRecord]
    ) -> Plan:
        versions = list(versions)
        refs = [ref for version in versions for ref in version.features]
        views = list(dict.fromkeys(ref.view for ref in refs if ref.view))
        keys = self._keys_of(views[0]) if views else ("entity_id",)
        others = {key for view in views for key in self._keys_of(view)} - set(keys)
        features = {ref.label: (ref.dtype, ref.size) for ref in refs if ref.view}
        features |= {ref.feature: (ref.dtype, ref.size) for ref in refs if not ref.view}
        readers = [OutputReader(v.signature) for v in versions if v.signature is not None]
        return Plan(
            job_id=job.job_id,
            model=job.model,
            input=job.input,
            input_format=kind,
            output=job.output,
            output_format=job.output_format,
            pins=pins,
            keys=keys,
            others=tuple(sorted(others)),
            features=features,
            prediction=prediction_type(versions),
            multiple=any(reader.multiple for reader in readers),
            classes=_named(readers, "probabilities"),
            score=any(reader.has_score for reader in readers),
            scored=_named(readers, "scores"),
            outputs=tuple(dict.fromkeys(name for r in readers for name in r.names)),
        )

    def _cut(self, plan: Plan, at: Location, rows: int) -> tuple[Plan, list[Chunk]]:
        pins = plan.pins
        if plan.input_format == "parquet":
            footer = read_footer(self._objects, at, pins.size, pins.etag)
            plan = plan.model_copy(update=_columns(plan, footer.columns))
            return plan, list(cut_groups(footer.rows, rows))
        blocks = self._objects.stream(at, 0, pins.size, pins.etag)
        if plan.input_format == "jsonl":
            return plan, list(cut_lines(blocks, 0, 1, quoted=False, rows=rows))
        blocks, first, lines = _header(blocks)
        if not first.strip(b"\r\n"):
            if pins.size > len(first):
                raise Invalid.at(
                    "input", "the first line must name the columns", code="invalid_input"
                )
            return plan, []
        plan = plan.model_copy(update=_columns(plan, csv_header(first.removesuffix(b"\n"))))
        return plan, list(cut_lines(blocks, len(first), 1 + lines, quoted=True, rows=rows))


def prediction_type(versions: Iterable[VersionRecord]) -> PredictionType:
    """The column type that holds every version's predictions: text when they have nothing in common.

    Raises:
        Invalid: a version is not ready to serve.
    """
    kinds: set[PredictionType] = set()
    for version in versions:
        signature = version.signature
        if version.status is not VersionStatus.READY or signature is None:
            raise Invalid(
                f"{version.model} {version.version} is {version.status}, not READY",
                code="version_not_ready",
            )
        kinds.add(_type_of(signature))
    if len(kinds) == 1:
        return kinds.pop()
    return "float64" if kinds <= {"float64", "int64"} else "string"


def _type_of(signature: Signature) -> PredictionType:
    """The column type of one version's predictions: that of its labels, or else of its outputs."""
    classes = signature.classes
    if classes:
        if all(isinstance(c, bool) for c in classes):
            return "bool"
        whole = all(isinstance(c, int) and not isinstance(c, bool) for c in classes)
        return "int64" if whole else "string"
    datatype = signature.outputs[0].datatype
    if datatype in ("BYTES", "BOOL"):
        return "string" if datatype == "BYTES" else "bool"
    return "float64" if datatype.startswith("FP") else "int64"


def _named(readers: Iterable[OutputReader], field: str) -> tuple[str, ...]:
    """Names of the classes or clusters that some version answers under ``field``."""
    found = [names for kind, names in (r.named_numbers for r in readers) if kind == field]
    return tuple(dict.fromkeys(name for names in found for name in names))


def cut_lines(
    blocks: Iterable[bytes], offset: int, first_line: int, *, quoted: bool, rows: int
) -> Iterator[Chunk]:
    """Chunks of CSV or JSONL records: each ends at the first offered boundary at which it has
    `CHUNK_BYTES` or would soon have more than ``rows`` records.

    Args:
        blocks: the input from byte ``offset`` on, where line ``first_line`` begins.

    Raises:
        Invalid: the input ends inside a quoted field.
    """
    start = records = 0
    line = lines = 0
    number = 0
    end = 0
    try:
        for cut in boundaries(blocks, quoted=quoted):
            end, lines = cut.offset, cut.lines
            if end - start >= CHUNK_BYTES or cut.records - records >= rows:
                yield _chunk(number, offset + start, offset + end, first_line + line)
                number += 1
                start, line, records = end, lines, cut.records
    except ValueError as error:
        raise Invalid.at("input", str(error), code="invalid_input") from None
    if end > start:
        yield _chunk(number, offset + start, offset + end, first_line + line)


def cut_groups(groups: Iterable[int], rows: int) -> Iterator[Chunk]:
    """Chunks of Parquet row groups: neighbours together up to ``rows``, never less than one."""
    start = held = number = 0
    first = 1
    at = -1
    for at, size in enumerate(groups):
        if held and held + size > rows:
            yield _chunk(number, start, at, first)
            number += 1
            first += held
            start, held = at, 0
        held += size
    if held:
        yield _chunk(number, start, at + 1, first)


def _chunk(number: int, start: int, end: int, first_line: int) -> Chunk:
    return Chunk(chunk=number, start=start, end=end, first_line=first_line)


def _header(blocks: Iterator[bytes]) -> tuple[Iterator[bytes], bytes, int]:
    """The blocks after a CSV file's first record, that record with its line end, and its lines."""
    head = b""
    for block in blocks:
        head += block
        at = head.find(b"\n")
        while at >= 0 and head.count(b'"', 0, at) % 2:
            at = head.find(b"\n", at + 1)
        if at >= 0:
            return chain([head[at + 1 :]], blocks), head[: at + 1], head.count(b"\n", 0, at + 1)
        if len(head) > MAX_RECORD:
            raise Invalid.at(
                "input", f"the header is longer than {MAX_RECORD} bytes", code="invalid_input"
            )
    return iter(()), head, 1


def _columns(plan: Plan, present: tuple[str, ...]) -> dict[str, object]:
    """What the plan needs of the columns that an input has.

    Raises:
        Invalid: an entity column is absent.
    """
    keys = plan.keys
    if len(keys) == 1 and keys[0] not in present:
        keys = ("entity_id",)
    if absent := [key for key in (*keys, *plan.others) if key not in present]:
        hint = f" ({plan.keys[0]} will do)" if keys == ("entity_id",) != plan.keys else ""
        raise Invalid.at("input", f"has no column {absent[0]}{hint}", code="missing_column")
    features = {name: kind for name, kind in plan.features.items() if name in present}
    return {"columns": present, "keys": keys, "features": features}


def allocation_of(model: ModelRecord, version: str | None) -> Allocation:
    """Who answers for whom: the named version, the running split, or production.

    Raises:
        Conflict: none of these exists.
    """
    if version is not None:
        return ((version, BUCKETS),)
    allocation = allocation_in_force(model)
    if allocation is None:
        raise Conflict(
            f"{model.name} has no production version; promote one or name a version",
            code="no_production_version",
        )
    return allocation
