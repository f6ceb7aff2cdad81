"""Outcomes from a file: accepted as a job, planned, and taken in chunk by chunk.

A chunk may be repeated: what it appends to the history has the same request ids and times, by which the
compaction finds it, and of one outcome that is there twice one counts anyway.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neuralstream_core.backfill.outcome_records import (
    ChunkKept,
    OutcomeColumns,
    OutcomesFiles,
    OutcomesJob,
    OutcomesJobs,
    OutcomesManifest,
    OutcomesPins,
    OutcomesPlan,
    OutcomesRequest,
    OutcomesResult,
    outcomes_files,
)
from neuralstream_core.backfill.times import event_times
from neuralstream_core.errors import Invalid
from neuralstream_core.history.entries import Part
from neuralstream_core.jobs.files import JOBS, json_lines
from neuralstream_core.jobs.outcomes import concluded
from neuralstream_core.jobs.records import Failure, JobKind, NewJob
from neuralstream_core.jobs.tasks import ChunkCounts, Planned
from neuralstream_core.objects import Location, Objects
from neuralstream_core.outcomes.intake import (
    Intake,
    Outcome,
    WrongOutcome,
    by_version,
    outcome_of,
)
from neuralstream_core.outcomes.log import entity_text
from neuralstream_core.outcomes.requests import MAX_LABEL
from neuralstream_core.serving.batch.cells import RowErrors
from neuralstream_core.serving.batch.inputs import InputFile
from neuralstream_core.serving.batch.locations import Buckets, input_format
from neuralstream_core.serving.batch.rows import InputRows, InputSchema
from neuralstream_core.serving.batch.splitting import CHUNK_ROWS, Chunk
from neuralstream_core.serving.cells import RowError
from neuralstream_core.table import Item

__all__ = ["OutcomeImports", "OutcomesWork"]


@dataclass(frozen=True, slots=True)
class OutcomeImports:
    """Accepts jobs."""

    jobs: OutcomesJobs
    objects: Objects
    buckets: Buckets
    data_bucket: str

    def submit(
        self, request: OutcomesRequest, actor: str, *, key: str | None = None
    ) -> OutcomesJob:
        """Accept a job; arguments as `Jobs.submit`.

        Raises:
            NotFound: no such input.
            Invalid: a location that jobs may not use, or an unknown format.
            Conflict: ``key`` was used for another request.
        """
        source = self.buckets.check(request.input or "", "input")
        base = request.output
        if base is None:
            base = f"s3://{self.data_bucket}/{JOBS}outcomes/"
        else:
            self.buckets.check(base, "output", folder=True)
        kind = input_format(source, request.input_format)
        self.objects.stat(source)

        def fields(job_id: str) -> Item:
            return {"input_format": kind, "output": f"{base.rstrip('/')}/{job_id}/"}

        return self.jobs.submit(NewJob(JobKind.OUTCOMES, request, fields), actor, key=key)


@dataclass(frozen=True, slots=True)
class OutcomesWork:
    """The tasks of these jobs, see `neuralstream_core.jobs.tasks.Work`."""

    jobs: OutcomesJobs
    objects: Objects
    buckets: Buckets
    data_bucket: str
    intake: Intake

    def plan(self, job_id: str) -> Planned:
        """Pin, cut and store the plan. A second call makes the same plan again.

        Raises:
            Invalid: the input cannot be cut, or lacks a column.
            Conflict: the job is done, or the input was replaced since the first call.
        """
        job = self.jobs.get(job_id)
        source = InputFile.now(
            self.objects, self.buckets.check(job.input, "input"), job.input_format
        )
        pins = OutcomesPins(as_of=self.intake.clock(), size=source.size, etag=source.etag)
        job, pins = self.jobs.begin(job_id, pins)
        source.check(pins.etag)
        cut = source.cut(CHUNK_ROWS)
        plan = _plan(job, pins, cut.columns)
        planned = self._files(job_id).write_plan(plan, cut.listed())
        self.jobs.planned(job_id, planned.chunks)
        return planned

    def chunk(self, job_id: str, chunk: Mapping[str, Any]) -> ChunkCounts:
        """Take a chunk in and count it once."""
        files, part = self._files(job_id), Chunk.model_validate(chunk)
        plan = files.plan()
        taking = _Taking(plan, self.intake, f"{job_id}/{part.chunk:05d}")
        at = self.buckets.check(plan.input, "input")
        source = InputFile(self.objects, at, plan.input_format, plan.pins.size, plan.pins.etag)
        for rows in source.rows(part, taking.schema, plan.columns):
            taking.add(rows)
        self.intake.append(taking.parts)
        result = taking.result(files, part.chunk)
        files.write_result(result)
        self.jobs.chunk_done(job_id, part.chunk, result.rows, result.failed)
        return ChunkCounts(part.chunk, result.rows, result.failed)

    def finish(self, job_id: str) -> OutcomesJob:
        """Count the rows of all chunks, and fail the job when it has none or too many are wrong."""
        job = self.jobs.get(job_id)
        if job.status.done:
            return job
        files = self._files(job_id)
        plan = files.plan()
        manifest = _manifest(job_id, plan, files.results())
        result, failure = concluded(job, files, plan.output, manifest, OutcomesResult)
        return self.jobs.finish(job_id, result, failure)

    def fail(self, job_id: str, failure: Failure) -> OutcomesJob:
        """End the job as failed."""
        return self.jobs.finish(job_id, None, failure)

    def _files(self, job_id: str) -> OutcomesFiles:
        return outcomes_files(self.objects, self.data_bucket, job_id)


def _plan(job: OutcomesJob, pins: OutcomesPins, columns: tuple[str, ...]) -> OutcomesPlan:
    """The plan, for the columns that the input has; JSON lines have none.

    Raises:
        Invalid: a column is absent.
    """
    named = job.columns or OutcomeColumns()
    needed = [*named.keys, named.label]
    if named.entity_id is not None:
        needed.append(named.predicted_at)
    if columns and (absent := [name for name in needed if name not in columns]):
        raise Invalid.at("input", f"has no column {absent[0]}", code="missing_column")
    return OutcomesPlan(
        model=job.model,
        input=job.input,
        input_format=job.input_format,
        output=job.output,
        pins=pins,
        named=named,
        columns=columns,
        observed=not columns or named.observed_at in columns,
        timezone=job.timezone,
    )


@dataclass(slots=True)
class _Taking:
    """One chunk under way.

    Attributes:
        prefix: of the request ids of what is to be appended.
        parts: that: one for each slice of rows.
    """

    plan: OutcomesPlan
    intake: Intake
    prefix: str
    parts: list[Part] = field(default_factory=list)
    rows: int = 0
    slices: int = 0
    versions: Counter[str] = field(default_factory=Counter)
    failed: list[dict[str, Any]] = field(default_factory=list)

    @property
    def schema(self) -> InputSchema:
        plan, named = self.plan, self.plan.named
        raw = [named.label]
        if named.entity_id is not None:
            raw.append(named.predicted_at)
        if plan.observed:
            raw.append(named.observed_at)
        return InputSchema(named.keys, (), {}, raw=tuple(dict.fromkeys(raw)))

    def add(self, rows: InputRows) -> None:
        """Keep the good ones of a slice of rows, to be appended."""
        plan, named, errors = self.plan, self.plan.named, dict(rows.errors)
        asked: Sequence[int | None] = [None] * len(rows)
        if named.entity_id is not None:
            asked = self._times(rows.raw[named.predicted_at], named.predicted_at, errors)
        observed: Sequence[int | None] = [None] * len(rows)
        if plan.observed:
            observed = self._times(
                rows.raw[named.observed_at], named.observed_at, errors, needed=False
            )
        outcomes: list[Outcome] = []
        for at, cell in enumerate(rows.raw[named.label]):
            if at in errors:
                continue
            entity = rows.entities[at]
            try:
                label = _label(cell, text=plan.input_format == "csv")
                by_id: dict[str, Any] = {"prediction_id": entity}
                if named.entity_id is not None:
                    by_id = {"entity": entity_text(entity), "predicted_at": asked[at]}
                outcomes.append(
                    outcome_of(
                        plan.model, plan.pins.as_of, label=label, observed_at=observed[at], **by_id
                    )
                )
            except WrongOutcome as error:
                errors[at] = RowError(f"invalid_{error.field}", str(error))
        if outcomes:
            request = f"{self.prefix}/{self.slices:05d}"
            self.parts.append(self.intake.part(plan.model, request, outcomes))
        self.versions.update(by_version(outcomes))
        self.failed += rows.failed(errors)
        self.rows += len(rows)
        self.slices += 1

    def _times(
        self, cells: Sequence[Any], column: str, errors: RowErrors, *, needed: bool = True
    ) -> list[int | None]:
        """Microseconds of each row; ``None`` where it has none and needs none, or is wrong."""
        plan = self.plan
        there = [at for at, cell in enumerate(cells) if needed or cell not in (None, "")]
        found: list[int | None] = [None] * len(cells)
        wrong: RowErrors = {}
        times = event_times(
            [cells[at] for at in there], column, plan.timezone, plan.pins.as_of, wrong
        )
        for place, (at, time) in enumerate(zip(there, times.tolist(), strict=True)):
            if place in wrong:
                errors.setdefault(at, wrong[place])
            else:
                found[at] = time
        return found

    def result(self, files: OutcomesFiles, chunk: int) -> ChunkKept:
        """Write the list of wrong rows; the counts of the chunk."""
        errors = None
        if self.failed:
            at = Location.parse(self.plan.output) / f"errors/errors-{chunk:05d}.jsonl"
            data = json_lines(self.failed)
            errors = files.write_output(at, data, "application/jsonl", len(self.failed))
        return ChunkKept(
            chunk=chunk,
            rows=self.rows,
            failed=len(self.failed),
            versions=dict(self.versions),
            reasons=dict(sorted(Counter(row["code"] for row in self.failed).items())),
            errors=errors,
        )


def _label(cell: Any, *, text: bool) -> bool | float | str:
    """A cell as a label: text of a CSV file that is a number is one.

    Raises:
        WrongOutcome: it cannot be one.
    """
    if isinstance(cell, np.generic):
        cell = cell.item()
    if text and isinstance(cell, str) and "_" not in cell:
        with suppress(ValueError):
            cell = float(cell)
    if isinstance(cell, bool):
        return cell
    if isinstance(cell, int | float):
        try:
            number = float(cell)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
        raise WrongOutcome("label", "must be a finite number")
    if cell is None or cell == "":
        raise WrongOutcome("label", "is empty or absent")
    if not isinstance(cell, str):
        raise WrongOutcome("label", "must be a text, a number or a boolean")
    if len(cell) > MAX_LABEL:
        raise WrongOutcome("label", f"has more than {MAX_LABEL} characters")
    return cell


def _manifest(job_id: str, plan: OutcomesPlan, results: Sequence[ChunkKept]) -> OutcomesManifest:
    reasons, versions = Counter[str](), Counter[str]()
    for result in results:
        reasons.update(result.reasons)
        versions.update(result.versions)
    rows, failed = sum(result.rows for result in results), sum(result.failed for result in results)
    return OutcomesManifest(
        job_id=job_id,
        model=plan.model,
        input=plan.input,
        input_etag=plan.pins.etag,
        rows=rows,
        failed=failed,
        accepted=rows - failed,
        versions=dict(sorted(versions.items(), key=lambda item: int(item[0][1:]))),
        reasons=dict(sorted(reasons.items())),
        errors=[result.errors for result in results if result.errors is not None],
    )
