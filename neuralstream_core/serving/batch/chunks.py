"""A chunk task: read a piece of the input, predict it, write a piece of the output.

Idempotent: what a chunk writes depends only on the plan, the pinned bytes of the input and the feature
store, and each file is replaced as a whole.

An output has one row per input row, in input order. Columns: the entity's (``entity_id``, or its keys), the
fields of the answer that some version of the job gives, ``error``, the code of a row that has no prediction,
and ``prediction_id``. In JSON lines an absent value is left out; in Parquet it is null.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from neuralstream_core.jobs.files import json_columns
from neuralstream_core.jobs.rows import written_errors
from neuralstream_core.monitoring.observation import AnyObservation, Recorder, Refused
from neuralstream_core.objects import Location, Objects
from neuralstream_core.outcomes.ids import deterministic_ulid
from neuralstream_core.registry.allocation import BUCKETS
from neuralstream_core.registry.registry import ServedModel
from neuralstream_core.serving.batch.cells import Cells, RowErrors
from neuralstream_core.serving.batch.inputs import InputFile
from neuralstream_core.serving.batch.locations import Buckets, OutputFormat
from neuralstream_core.serving.batch.manifest import (
    ChunkResult,
    JobPlan,
    PredictFiles,
    PredictionType,
    predict_files,
)
from neuralstream_core.serving.batch.records import Pins, PredictJobs
from neuralstream_core.serving.batch.rows import InputRows, InputSchema
from neuralstream_core.serving.batch.splitting import Chunk
from neuralstream_core.serving.deployments import Deployments
from neuralstream_core.serving.engine import Engine
from neuralstream_core.serving.entities import shown
from neuralstream_core.serving.predictions import PredictionColumns, RowIds, answer_columns

if TYPE_CHECKING:
    from neuralstream_core.features.store import OnlineStore

__all__ = ["ChunkWorker", "Predictor", "output_types"]

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


@dataclass(frozen=True, slots=True)
class ChunkWorker:
    """Runs chunk tasks.

    Attributes:
        data_bucket: holds plans and results.
        predictor: makes the `Predictor` of a job, once per task.
    """

    jobs: PredictJobs
    objects: Objects
    buckets: Buckets
    data_bucket: str
    predictor: Callable[[JobPlan], Predictor]

    def run(self, job_id: str, chunk: Chunk) -> ChunkResult:
        """Process a chunk and count it once.

        Raises:
            Unavailable: the feature store, a model or S3 cannot be reached; try again.
            Conflict: the input was replaced.
            Invalid: the input cannot be decoded.
            RuntimeError: a file that the job wrote is missing, or the role may not write.
        """
        files = predict_files(self.objects, self.data_bucket, job_id)
        plan = files.plan()
        at, pins = self.buckets.check(plan.input, "input"), plan.pins
        source = InputFile(self.objects, at, plan.input_format, pins.size, pins.etag)
        schema = InputSchema(plan.keys, plan.others, plan.features, plan.by_role)
        output, predictor = _Output(plan), self.predictor(plan)
        for rows in source.rows(chunk, schema, plan.columns):
            places, good = rows.good()
            errors = dict(rows.errors)
            answers: Mapping[str, list[Any]] = {}
            if places:
                columns = predictor.predict(good)
                answers = answer_columns(columns)
                errors |= {places[at]: error for at, error in columns.errors.items()}
            output.add(rows, places, answers, errors)
        result = output.write(files, chunk.chunk)
        if self.jobs.chunk_done(job_id, chunk.chunk, result.rows, result.failed):
            predictor.count()
        return result


class _Output:
    """The rows of one chunk, collected and then written: the output file, and the failed rows as JSON lines
    ``{"line","entity_id"?,"code","reason"}``."""

    def __init__(self, plan: JobPlan) -> None:
        self._plan = plan
        self._types = output_types(plan)
        self._file = _Lines() if plan.output_format == "jsonl" else _Parquet(self._types)
        self._rows = 0
        self._versions = Counter[str]()
        self._failed: list[dict[str, Any]] = []

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
        fields = {**self._entities(rows), **rows.others, **answers}
        if len(places) < n:
            for name, column in answers.items():
                found = dict(zip(places, column, strict=True))
                fields[name] = [found.get(place) for place in range(n)]
        fields["error"] = [None] * n
        for place, error in sorted(errors.items()):
            fields["error"][place] = error.code
        roles = self._plan.keys if self._plan.by_role else ()
        self._failed += rows.failed(errors, lambda entity: shown(entity, roles))
        columns = {name: fields.get(name, [None] * n) for name in self._types}
        columns["prediction"] = _cast(columns["prediction"], self._plan)
        self._rows += n
        self._versions.update(columns["version"])
        self._file.add(columns)

    def write(self, files: PredictFiles, number: int) -> ChunkResult:
        """Write the files of chunk ``number`` and its result."""
        folder, kind = Location.parse(self._plan.output), self._plan.output_format
        versions = self._versions
        del versions[None]  # of the rows without a prediction
        part = folder / f"part-{number:05d}.{kind}"
        result = ChunkResult(
            chunk=number,
            rows=self._rows,
            part=files.write_output(part, self._file.encoded(), _MEDIA[kind], self._rows),
            versions=dict(sorted(versions.items())),
            **written_errors(files, self._plan.output, number, self._failed),
        )
        files.write_result(result)
        return result

    def _entities(self, rows: InputRows) -> dict[str, list[Any]]:
        names = _entity_names(self._plan)
        if len(names) == 1:
            return {names[0]: rows.entities}
        return {
            name: [None if entity is None else entity[at] for entity in rows.entities]
            for at, name in enumerate(names)
        }


class _Lines:
    """JSON lines, made at once from the rows that are added together."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []

    def add(self, columns: Mapping[str, list[Any]]) -> None:
        self._lines.append(json_columns(columns))

    def encoded(self) -> bytes:
        return b"".join(self._lines)


class _Parquet:
    """The columns of a Parquet file of ``types``."""

    def __init__(self, types: Mapping[str, SqlType]) -> None:
        self._types = types
        self._columns: dict[str, list[Any]] = {name: [] for name in types}

    def add(self, columns: Mapping[str, list[Any]]) -> None:
        for name, values in columns.items():
            self._columns[name].extend(values)

    def encoded(self) -> bytes:
        from neuralstream_core.serving.batch.parquet import write_parquet

        return write_parquet(self._columns, self._types)


def _entity_names(plan: JobPlan) -> tuple[str, ...]:
    return plan.keys if len(plan.keys) > 1 else ("entity_id",)


def _cast(predictions: list[Any], plan: JobPlan) -> list[Any]:
    """Predictions in the column's type: versions of one job may answer numbers and text."""
    cast = _CASTS[plan.prediction]
    if not plan.multiple:
        return [None if value is None else cast(value) for value in predictions]
    listed = [v if v is None or isinstance(v, list) else [v] for v in predictions]
    return [None if value is None else [cast(v) for v in value] for value in listed]


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
    types["error"] = types["prediction_id"] = "VARCHAR"
    return types


class Predictor:
    """Predicts the rows of one job, with the versions and the time that its plan pinned.

    Observations are kept until their chunk is counted, so that a retried chunk counts once. What is logged of
    them goes to the history at once, under ids that a retried chunk gives again.

    Args:
        live: the engine whose versions and loaded models are used.
        store: reads features as of the time that the plan pinned.
        recorder: monitoring.
        log: keeps entries of the prediction log.
    """

    def __init__(
        self,
        live: Engine,
        store: OnlineStore,
        recorder: Recorder,
        log: Callable[[Sequence[bytes]], None],
        plan: JobPlan,
    ) -> None:
        pins = plan.pins
        self._model, self._recorder, self._log = plan.model, recorder, log
        self._unique = deterministic_ulid(pins.as_of, plan.job_id)
        self._held: list[AnyObservation] = []
        self._entries: list[bytes] = []
        deployments = _pinned(live.deployments, plan.model, pins)
        self._engine = Engine(deployments, live.models, store, self, lambda: pins.as_of)

    def predict(self, rows: InputRows) -> PredictionColumns:
        """The answers to ``rows``, none of which has an error.

        Raises:
            Unavailable: also if they cannot be logged.
        """
        answers = self._engine.predict_columns(
            self._model,
            rows.entities,
            keys=rows.others or None,
            overrides={name: _column(values) for name, values in rows.features.items()} or None,
            ids=RowIds(self._model, self._unique, rows.lines),
            job=True,
        )
        entries, self._entries = self._entries, []
        if entries:
            self._log(entries)
        return answers

    def count(self) -> None:
        """Report the predictions to monitoring."""
        held, self._held = self._held, []
        for observation in held:
            self._recorder.record(observation)

    def record(self, observation: AnyObservation) -> None:
        """Keep an observation. Its version counts as pinned: a job is no traffic that a split routes."""
        self._entries += [entry.data for entry in observation.log]
        self._held.append(replace(observation, pinned=True, log=()))

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


def _pinned(deployments: Deployments, model: str, pins: Pins) -> Deployments:
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


def _column(values: Cells) -> Cells:
    """Floats as an array, in which the engine reads NaN as missing; other values as they are."""
    if isinstance(values, np.ndarray):
        return values
    if set(map(type, values)) <= {float, type(None)} and any(v is not None for v in values):
        return np.array(values, dtype=np.float64)
    return values
