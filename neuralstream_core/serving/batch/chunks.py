"""A chunk task: read a piece of the input, predict it, write a piece of the output.

Idempotent: what a chunk writes depends only on the plan, the pinned bytes of the input and the feature store,
and each file is replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any, Final, Protocol, TypeAlias

import numpy as np

from neuralstream_core.monitoring.observation import AnyObservation, Recorder, Refused
from neuralstream_core.registry.allocation import BUCKETS
from neuralstream_core.registry.registry import ServedModel
from neuralstream_core.serving.batch.jobs import Jobs, Pins
from neuralstream_core.serving.batch.locations import Buckets, Location, Objects
from neuralstream_core.serving.batch.manifest import Chunk, ChunkResult, JobFiles, JobPlan
from neuralstream_core.serving.batch.output import MEDIA, ErrorFile, OutputFile, answer_columns
from neuralstream_core.serving.batch.rows import (
    SLICE,
    InputRows,
    InputSchema,
    csv_rows,
    jsonl_rows,
    parquet_rows,
)
from neuralstream_core.serving.batch.splitting import split
from neuralstream_core.serving.deployments import Deployments
from neuralstream_core.serving.engine import Engine
from neuralstream_core.serving.predictions import PredictionColumns

__all__ = ["ChunkWorker", "HeldRecorder", "JobPredictor", "Predictor", "PredictorFor", "pinned"]


class Predictor(Protocol):
    """Predicts the rows of one job, with the versions and the time that its plan pinned."""

    def predict(self, rows: InputRows) -> PredictionColumns:
        """The answers to ``rows``, none of which has an error."""

    def count(self) -> None:
        """Report the predictions to monitoring."""


PredictorFor: TypeAlias = Callable[[str, Pins], Predictor]
"""Makes a `Predictor` for a model."""


class ChunkWorker:
    """Runs chunk tasks.

    Args:
        data_bucket: holds plans and results.
        predictor: called once per task.
    """

    def __init__(
        self,
        jobs: Jobs,
        objects: Objects,
        buckets: Buckets,
        data_bucket: str,
        predictor: PredictorFor,
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
        output, failures = OutputFile(plan), ErrorFile()
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
    files: JobFiles, plan: JobPlan, chunk: Chunk, output: OutputFile, failures: ErrorFile
) -> ChunkResult:
    folder = Location.parse(plan.output)
    part = files.write_output(
        folder / f"part-{chunk.chunk:05d}.{plan.output_format}",
        output.encode(),
        MEDIA[plan.output_format],
        output.rows,
    )
    failed = None
    if len(failures):
        at = folder / f"errors/errors-{chunk.chunk:05d}.jsonl"
        failed = files.write_output(at, failures.encode(), MEDIA["jsonl"], len(failures))
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


_SECONDS: Final = inf
"""A pinned route never expires."""


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
    return Deployments(
        lambda _: routing, lambda _, name: versions[name], soft=_SECONDS, hard=_SECONDS
    )


def _column(values: Sequence[Any]) -> Sequence[Any] | np.ndarray:
    """Floats as an array, in which the engine reads NaN as missing; other values as they are."""
    if set(map(type, values)) <= {float, type(None)} and any(v is not None for v in values):
        return np.array(values, dtype=np.float64)
    return values
