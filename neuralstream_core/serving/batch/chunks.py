"""A chunk task: read a piece of the input, predict it, write a piece of the output.

Idempotent: what a chunk writes depends only on the plan, the pinned bytes of the input and the feature
store, and each file is replaced as a whole.

An output has one row per input row, in input order. Columns: the entity's (``entity_id``, or its keys), the
fields of the answer that some version of the job gives, and ``error``, the code of a row that has no
prediction. In JSON lines an absent value is left out; in Parquet it is null.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from pydantic_core import to_json

from neuralstream_core.monitoring.observation import AnyObservation, Recorder, Refused
from neuralstream_core.registry.allocation import BUCKETS
from neuralstream_core.registry.registry import ServedModel
from neuralstream_core.serving.batch.jobs import Jobs, Pins
from neuralstream_core.serving.batch.locations import Buckets, Location, Objects, OutputFormat
from neuralstream_core.serving.batch.manifest import (
    Chunk,
    ChunkResult,
    JobFiles,
    JobPlan,
    PredictionType,
)
from neuralstream_core.serving.batch.rows import (
    SLICE,
    InputRows,
    InputSchema,
    RowErrors,
    csv_rows,
    jsonl_rows,
    parquet_rows,
)
from neuralstream_core.serving.batch.splitting import split
from neuralstream_core.serving.deployments import Deployments
from neuralstream_core.serving.engine import Engine
from neuralstream_core.serving.predictions import PredictionColumns, answer_columns

__all__ = ["ChunkWorker", "HeldRecorder", "JobPredictor", "Predictor", "output_types", "pinned"]

_MEDIA: Final[dict[OutputFormat, str]] = {
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
}
_SQL: Final[dict[PredictionType, str]] = {
    "float64": "DOUBLE",
    "int64": "BIGINT",
    "bool": "BOOLEAN",
    "string": "VARCHAR",
}
_CASTS: Final[dict[PredictionType, Callable[[Any], Any]]] = {
    "float64": float,
    "int64": int,
    "bool": bool,
    "string": lambda value: str(value).lower() if isinstance(value, bool) else str(value),
}
SqlType: TypeAlias = str | dict[str, str]
"""A type's name, or the names and types of an object's fields."""


class Predictor(Protocol):
    """Predicts the rows of one job, with the versions and the time that its plan pinned."""

    def predict(self, rows: InputRows) -> PredictionColumns:
        """The answers to ``rows``, none of which has an error."""

    def count(self) -> None:
        """Report the predictions to monitoring."""


class ChunkWorker:
    """Runs chunk tasks.

    Args:
        data_bucket: holds plans and results.
        predictor: makes the `Predictor` of a model, once per task.
    """

    def __init__(
        self,
        jobs: Jobs,
        objects: Objects,
        buckets: Buckets,
        data_bucket: str,
        predictor: Callable[[str, Pins], Predictor],
    ) -> None:
        self._jobs, self._objects, self._buckets = jobs, objects, buckets
        self._data_bucket, self._predictor = data_bucket, predictor

    def run(self, job_id: str, chunk: Chunk) -> ChunkResult:
        """Process a chunk and count it once.

        Raises:
            Unavailable: the feature store, a model or S3 cannot be reached; try again.
            Conflict: the input was replaced.
            Invalid: the input cannot be decoded.
            RuntimeError: a file that the job wrote is missing, or the role may not write.
        """
        files = JobFiles(self._objects, self._data_bucket, job_id)
        plan = files.plan()
        source = self._buckets.check(plan.input, "input")
        output, failures = _OutputFile(plan), _ErrorFile()
        predictor = self._predictor(plan.model, plan.pins)
        for rows in self._rows(plan, chunk, source):
            places, good = rows.good()
            errors = dict(rows.errors)
            answers: Mapping[str, list[Any]] = {}
            if places:
                columns = predictor.predict(good)
                answers = answer_columns(columns)
                errors |= {places[at]: error for at, error in columns.errors.items()}
            output.add(rows, places, answers, errors)
            failures.add(rows, errors)
        result = _write(files, plan, chunk, output, failures)
        if self._jobs.chunk_done(job_id, chunk.chunk, result.rows, result.failed):
            predictor.count()
        return result

    def _rows(self, plan: JobPlan, chunk: Chunk, source: Location) -> Iterator[InputRows]:
        schema = InputSchema(plan.keys, plan.others, plan.features)
        if plan.input_format == "parquet":
            from neuralstream_core.serving.batch.parquet import ParquetInput

            file = ParquetInput(self._objects, source, plan.pins.size, plan.pins.etag)
            first = chunk.first_line - 1
            rows = sum(file.row_groups()[chunk.start : chunk.end])
            yield from parquet_rows(file, schema, first, first + rows)
            return
        blocks = self._objects.stream(source, chunk.start, chunk.end, plan.pins.etag)
        quoted = plan.input_format == "csv"
        for block in split(blocks, quoted=quoted, first_line=chunk.first_line):
            for records in block.slices(SLICE):
                if quoted:
                    yield csv_rows(records, schema, plan.columns)
                else:
                    yield jsonl_rows(records, schema)


def _write(
    files: JobFiles, plan: JobPlan, chunk: Chunk, output: _OutputFile, failures: _ErrorFile
) -> ChunkResult:
    folder = Location.parse(plan.output)
    part = files.write_output(
        folder / f"part-{chunk.chunk:05d}.{plan.output_format}",
        output.encode(),
        _MEDIA[plan.output_format],
        output.rows,
    )
    failed = None
    if len(failures):
        at = folder / f"errors/errors-{chunk.chunk:05d}.jsonl"
        failed = files.write_output(at, failures.encode(), _MEDIA["jsonl"], len(failures))
    result = ChunkResult(
        chunk=chunk.chunk,
        rows=output.rows,
        failed=len(failures),
        part=part,
        errors=failed,
        versions=dict(sorted(output.versions.items())),
        reasons=dict(sorted(failures.reasons.items())),
    )
    files.write_result(result)
    return result


class _OutputFile:
    """The output file of one chunk."""

    def __init__(self, plan: JobPlan) -> None:
        self._plan = plan
        self._types = output_types(plan)
        self._columns: dict[str, list[Any]] = {name: [] for name in self._types}
        self.rows = 0
        self.versions: Counter[Any] = Counter()
        """Rows predicted by each version."""

    def add(
        self,
        rows: InputRows,
        places: Sequence[int],
        answers: Mapping[str, list[Any]],
        errors: RowErrors,
    ) -> None:
        """Append rows.

        Args:
            places: positions of the rows that the model was asked for.
            answers: the fields of their answers, see `answer_columns`.
            errors: of all rows that have no prediction.
        """
        n = len(rows)
        fields = {**self._entities(rows), **rows.others, "error": [None] * n}
        for name, column in answers.items():
            fields[name] = column if len(places) == n else [None] * n
            if len(places) < n:
                for place, value in zip(places, column, strict=True):
                    fields[name][place] = value
        for place, error in errors.items():
            fields["error"][place] = error.code
        for name, stored in self._columns.items():
            stored.extend(fields.get(name, [None] * n))
        self.rows += n
        self.versions.update(answers.get("version", ()))
        del self.versions[None]

    def encode(self) -> bytes:
        """The bytes of the file."""
        columns = self._columns
        columns["prediction"] = _cast(columns["prediction"], self._plan)
        if self._plan.output_format == "jsonl":
            return _json_lines(
                [
                    {name: v for name, v in zip(columns, row, strict=True) if v is not None}
                    for row in zip(*columns.values(), strict=True)
                ]
            )
        from neuralstream_core.serving.batch.parquet import write_parquet

        return write_parquet(columns, self._types)

    def _entities(self, rows: InputRows) -> dict[str, list[Any]]:
        names = _entity_names(self._plan)
        if len(names) == 1:
            return {names[0]: rows.entities}
        return {
            name: [None if entity is None else entity[at] for entity in rows.entities]
            for at, name in enumerate(names)
        }


class _ErrorFile:
    """The errors file of one chunk, JSON lines: ``{"line","entity_id"?,"code","reason"}``."""

    def __init__(self) -> None:
        self._entries: list[dict[str, Any]] = []
        self.reasons: Counter[str] = Counter()
        """Failed rows by error code."""

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, rows: InputRows, errors: RowErrors) -> None:
        """Append the failed rows of ``rows``."""
        for at in sorted(errors):
            entity, error = rows.entities[at], errors[at]
            named = {} if entity is None else {"entity_id": entity}
            self._entries.append(
                {"line": int(rows.lines[at]), **named, "code": error.code, "reason": error.detail}
            )
            self.reasons[error.code] += 1

    def encode(self) -> bytes:
        """The bytes of the file."""
        return _json_lines(self._entries)


def _entity_names(plan: JobPlan) -> tuple[str, ...]:
    return plan.keys if len(plan.keys) > 1 else ("entity_id",)


def _cast(predictions: list[Any], plan: JobPlan) -> list[Any]:
    """Predictions in the column's type: versions of one job may answer numbers and text."""
    cast = _CASTS[plan.prediction]
    if not plan.multiple:
        return [None if value is None else cast(value) for value in predictions]
    listed = [v if v is None or isinstance(v, list) else [v] for v in predictions]
    return [None if value is None else [cast(v) for v in value] for value in listed]


def _json_lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return b"".join([to_json(row) + b"\n" for row in rows])


def output_types(plan: JobPlan) -> dict[str, SqlType]:
    """The columns of a job's output, in order, and their types."""
    one = _SQL[plan.prediction]
    types: dict[str, SqlType] = dict.fromkeys((*_entity_names(plan), *plan.others), "VARCHAR")
    types["version"] = "VARCHAR"
    types["prediction"] = f"{one}[]" if plan.multiple else one
    types["probability"] = "DOUBLE"
    if plan.score:
        types["score"] = "DOUBLE"
    if plan.classes:
        types["probabilities"] = dict.fromkeys(plan.classes, "DOUBLE")
    if plan.scored:
        types["scores"] = dict.fromkeys(plan.scored, "DOUBLE")
    if plan.outputs:
        types["outputs"] = dict.fromkeys(plan.outputs, one)
    types["error"] = "VARCHAR"
    return types


class HeldRecorder:
    """Keeps observations until their chunk is counted, so that a retried chunk counts once."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._held: list[AnyObservation] = []

    def record(self, observation: AnyObservation) -> None:
        """Keep an observation. Its version counts as pinned: a job is no traffic that a split routes."""
        self._held.append(replace(observation, pinned=True))

    def failure(
        self,
        model: str,
        version: str | None,
        code: str,
        *,
        rows: int = 1,
        refused: Refused | None = None,
    ) -> None:
        """Ignored: the task fails as a whole and is tried again."""

    def release(self) -> None:
        """Pass on all kept observations."""
        held, self._held = self._held, []
        for observation in held:
            self._recorder.record(observation)


class JobPredictor(Predictor):
    """A `Predictor` over an `Engine` whose deployments and clock are pinned.

    Args:
        engine: reports to ``recorder``.
    """

    def __init__(self, engine: Engine, recorder: HeldRecorder, model: str) -> None:
        self._engine, self._recorder, self._model = engine, recorder, model

    def predict(self, rows: InputRows) -> PredictionColumns:
        """See `Predictor.predict`."""
        return self._engine.predict_columns(
            self._model,
            rows.entities,
            keys=rows.others or None,
            overrides={name: _column(values) for name, values in rows.features.items()} or None,
            job=True,
        )

    def count(self) -> None:
        """See `Predictor.count`."""
        self._recorder.release()


def pinned(deployments: Deployments, model: str, pins: Pins) -> Deployments:
    """Deployments that give ``model`` the versions and the allocation that a job pinned.

    Raises:
        NotFound: no such model or version.
        Conflict: a version is not READY.
    """
    current = deployments.get(model)
    versions = {
        name: deployments.version(current, name) for name, buckets in pins.allocation if buckets
    }
    record = current.model.model_copy(
        update={
            "salt": pins.salt,
            "allocation": pins.allocation,
            "ab_split": {name: buckets / BUCKETS for name, buckets in pins.allocation},
        }
    )
    routing = ServedModel(record, versions)
    return Deployments(lambda _: routing, lambda _, name: versions[name], soft=inf, hard=inf)


def _column(values: Sequence[Any]) -> Sequence[Any] | np.ndarray:
    """Floats as an array, in which the engine reads NaN as missing; other values as they are."""
    if set(map(type, values)) <= {float, type(None)} and any(v is not None for v in values):
        return np.array(values, dtype=np.float64)
    return values
