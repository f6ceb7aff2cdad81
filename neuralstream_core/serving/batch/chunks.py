"""A chunk task: read a piece of the input, predict, write a part. Idempotent: what it writes depends only
on the plan, the input's pinned bytes and the feature store, and each file is replaced whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from neuralstream_core.registry.allocation import Assigner
from neuralstream_core.serving.batch.cells import Bad, Entity
from neuralstream_core.serving.batch.footer import open_part, read_footer
from neuralstream_core.serving.batch.jobs import Jobs
from neuralstream_core.serving.batch.locations import Buckets, Location
from neuralstream_core.serving.batch.manifest import (
    Chunk,
    ChunkResult,
    File,
    Plan,
    Workspace,
    own_files,
)
from neuralstream_core.serving.batch.objects import Objects
from neuralstream_core.serving.batch.output import MEDIA, ErrorLines, Part, Predicted
from neuralstream_core.serving.batch.rows import Reader, Rows, csv_rows, jsonl_rows, parquet_rows
from neuralstream_core.serving.batch.splitting import split
from neuralstream_core.time import Micros

__all__ = ["SLICE", "Answers", "ChunkWorker", "Open", "Predictor"]

SLICE: Final = 8192
"""Rows of one flight to the feature store and one inference call."""


@dataclass(slots=True)
class Answers:
    """What one version answered to some entities, in their order; ``None`` where a row is in ``bad``.

    Attributes:
        numbers: ``probability`` and ``score``, as far as the version gives them.
        named: ``probabilities``, ``scores`` and ``outputs`` likewise, by name.
    """

    predictions: list[Any]
    numbers: dict[str, list[float | None]] = field(default_factory=dict)
    named: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    bad: Bad = field(default_factory=dict)


class Predictor(Protocol):
    """A job's way to a model, with the feature store seen as of one moment."""

    def predict(
        self,
        version: str,
        entities: Sequence[Entity],
        others: Mapping[str, Sequence[str]],
        features: Mapping[str, Sequence[Any]],
    ) -> Answers:
        """Predict with one version.

        Args:
            others: further entity keys, one column each.
            features: values from the input, one column each; ``None`` is a missing value.
        """

    def count(self) -> None:
        """Hand what was predicted to monitoring, once the result stands."""


Open: TypeAlias = Callable[[str, Micros], Predictor]
"""``(model, as_of)`` to a fresh `Predictor`."""


class ChunkWorker:
    """Runs chunk tasks."""

    def __init__(
        self, jobs: Jobs, objects: Objects, buckets: Buckets, data_bucket: str, open_: Open
    ) -> None:
        self._jobs, self._objects, self._buckets = jobs, objects, buckets
        self._data_bucket, self._open = data_bucket, open_

    def run(self, job_id: str, chunk: Chunk) -> ChunkResult:
        """Do the chunk and count it once.

        Raises:
            Unavailable: the feature store, a model or S3 cannot be reached; try again.
            Conflict: the input was replaced.
            Invalid: the input cannot be decoded.
            RuntimeError: a file that the job wrote is missing, or the role may not write.
        """
        workspace = Workspace(self._data_bucket, job_id)
        with own_files():
            plan = Plan.model_validate_json(self._objects.read(workspace.plan))
        at = self._buckets.check(plan.input, "input")
        part = Part(
            plan.keys,
            plan.others,
            plan.prediction,
            plan.multiple,
            score=plan.score,
            named={
                "probabilities": plan.classes,
                "scores": plan.scored,
                "outputs": plan.outputs,
            },
        )
        errors = ErrorLines()
        versions: dict[str, int] = {}
        predictor = self._open(plan.model, plan.pins.as_of)
        routed = _Routed(plan, predictor)
        for rows in self._rows(plan, chunk, at):
            predicted = routed.predict(rows)
            part.add(rows, predicted)
            errors.add(rows, predicted.bad)
            _tally(versions, predicted)
        result = self._write(plan, chunk, part, errors, versions)
        with own_files():
            self._objects.write(
                workspace.result(chunk.chunk),
                result.model_dump_json().encode(),
                "application/json",
            )
        if self._jobs.chunk_done(job_id, chunk.chunk, result.rows, result.failed):
            predictor.count()
        return result

    def _rows(self, plan: Plan, chunk: Chunk, at: Location) -> Iterator[Rows]:
        reader = Reader(plan.keys, plan.others, plan.features)
        if plan.input_format == "parquet":
            footer = read_footer(self._objects, at, plan.pins.size, plan.pins.etag)
            keep = {*plan.keys, *plan.others, *plan.features}
            file = open_part(
                self._objects, at, plan.pins.etag, footer, chunk.start, chunk.end, keep
            )
            yield from parquet_rows(file, reader, batch=SLICE, first_row=chunk.first_line)
            return
        blocks = self._objects.stream(at, chunk.start, chunk.end, plan.pins.etag)
        quoted = plan.input_format == "csv"
        for block in split(blocks, quoted=quoted, first_line=chunk.first_line):
            # parsed a slice at a time: a whole block's rows would keep the garbage collector busy
            for records in block.slices(SLICE):
                yield (
                    csv_rows(records, reader, plan.columns)
                    if quoted
                    else jsonl_rows(records, reader)
                )

    def _write(
        self,
        plan: Plan,
        chunk: Chunk,
        part: Part,
        errors: ErrorLines,
        versions: dict[str, int],
    ) -> ChunkResult:
        folder = Location.parse(plan.output)
        name = f"part-{chunk.chunk:05d}.{plan.output_format}"
        written = self._file(
            folder / name, part.encode(plan.output_format), part.rows, MEDIA[plan.output_format]
        )
        failed = None
        if len(errors):
            at = folder / f"errors/errors-{chunk.chunk:05d}.jsonl"
            failed = self._file(at, errors.encode(), len(errors), MEDIA["jsonl"])
        return ChunkResult(
            chunk=chunk.chunk,
            rows=part.rows,
            failed=len(errors),
            part=written,
            errors=failed,
            versions=dict(sorted(versions.items())),
            reasons=dict(sorted(errors.reasons.items())),
        )

    def _file(self, at: Location, data: bytes, rows: int, media: str) -> File:
        # the caller chose another bucket, but not what the role may do in this one
        with own_files() if at.bucket == self._data_bucket else nullcontext():
            digest = self._objects.write(at, data, media)
        return File(uri=str(at), rows=rows, bytes=len(data), sha256=digest)


class _Routed:
    """Sends each row to the version that answers for its entity and puts the answers back in order."""

    def __init__(self, plan: Plan, predictor: Predictor) -> None:
        self._assigner = Assigner(plan.model, plan.pins.salt, plan.pins.allocation)
        self._predictor = predictor

    def predict(self, rows: Rows) -> Predicted:
        n = len(rows)
        bad = dict(rows.bad)
        good = [i for i in range(n) if i not in bad] if bad else range(n)
        owners = self._assigner.many([rows.entities[i] for i in good]) if len(good) else ()  # type: ignore[misc]  # good rows have one
        groups: dict[str, Sequence[int]] = {}
        versions = self._assigner.versions
        if len(versions) == 1:
            groups[versions[0]] = good
        else:
            for at, owner in zip(good, owners, strict=True):
                groups.setdefault(versions[owner], []).append(at)  # type: ignore[attr-defined]  # lists here
        if len(groups) == 1 and len(good) == n:
            ((version, _),) = groups.items()
            answers = self._predictor.predict(version, rows.entities, rows.others, rows.features)  # type: ignore[arg-type]  # all good
            names: list[str | None] = [version] * n
            for i in answers.bad:
                names[i] = None
            return Predicted(
                names, answers.predictions, answers.numbers, answers.named, answers.bad
            )
        merged = _Merge(n, bad)
        for version, places in groups.items():
            if places:
                answers = self._predictor.predict(
                    version,
                    [rows.entities[i] for i in places],  # type: ignore[misc]  # good rows have one
                    _picked(rows.others, places),
                    _picked(rows.features, places),
                )
                merged.add(version, places, answers)
        return merged.predicted


class _Merge:
    """Answers of several versions, scattered back to the places of their rows."""

    def __init__(self, n: int, bad: Bad) -> None:
        self.predicted = Predicted([None] * n, [None] * n, {}, {}, bad)
        self._n = n

    def add(self, version: str, places: Sequence[int], answers: Answers) -> None:
        out = self.predicted
        for i, place in enumerate(places):
            if i in answers.bad:
                out.bad[place] = answers.bad[i]
            else:
                out.versions[place] = version
                out.predictions[place] = answers.predictions[i]
        for field_, values in answers.numbers.items():
            self._scatter(out.numbers, field_, places, values)
        for field_, columns in answers.named.items():
            for name, column in columns.items():
                self._scatter(out.named.setdefault(field_, {}), name, places, column)

    def _scatter(
        self, into: dict[str, list[Any]], name: str, places: Sequence[int], values: Sequence[Any]
    ) -> None:
        target = into.setdefault(name, [None] * self._n)
        for place, value in zip(places, values, strict=True):
            target[place] = value


def _picked(columns: Mapping[str, Sequence[Any]], places: Sequence[int]) -> dict[str, list[Any]]:
    return {name: [column[i] for i in places] for name, column in columns.items()}


def _tally(versions: dict[str, int], predicted: Predicted) -> None:
    names = set(predicted.versions)
    for version in names:
        if version is not None:
            versions[version] = versions.get(version, 0) + predicted.versions.count(version)
