"""Outcomes from a file: accepted as a job, planned, and taken in chunk by chunk.

Of one outcome that is in the history twice one counts anyway.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuralstream_core.backfill.import_work import ChunkImport, Imports, ImportWork
from neuralstream_core.backfill.outcome_records import (
    ChunkKept,
    OutcomeColumns,
    OutcomesFiles,
    OutcomesJob,
    OutcomesJobs,
    OutcomesManifest,
    OutcomesPlan,
    OutcomesRequest,
    OutcomesResult,
    outcomes_files,
)
from neuralstream_core.backfill.times import event_times
from neuralstream_core.errors import Invalid
from neuralstream_core.history.entries import Part
from neuralstream_core.jobs.records import JobKind, NewJob
from neuralstream_core.jobs.rows import RowsPins, shared_counts
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
from neuralstream_core.serving.batch.inputs import CutInput, InputFile
from neuralstream_core.serving.batch.rows import InputRows, InputSchema
from neuralstream_core.serving.batch.splitting import CHUNK_ROWS
from neuralstream_core.serving.cells import RowError

__all__ = ["OutcomeImports", "OutcomesWork"]


@dataclass(frozen=True, slots=True)
class OutcomeImports:
    """Accepts jobs."""

    jobs: OutcomesJobs
    imports: Imports

    def submit(
        self, request: OutcomesRequest, actor: str, *, key: str | None = None
    ) -> OutcomesJob:
        """Accept a job; arguments as `Jobs.submit`.

        Raises:
            NotFound: no such input.
            Invalid: a location that jobs may not use, or an unknown format.
            Conflict: ``key`` was used for another request.
        """
        fields = self.imports.checked(request.input or "", request)
        return self.jobs.submit(NewJob(JobKind.OUTCOMES, request, fields), actor, key=key)


@dataclass(frozen=True, slots=True)
class OutcomesWork(ImportWork[OutcomesJob, RowsPins, OutcomesPlan, ChunkKept]):
    """The tasks of these jobs.

    Attributes:
        intake: appends outcomes.
    """

    intake: Intake

    def files(self, job_id: str) -> OutcomesFiles:
        return outcomes_files(self.objects, self.data_bucket, job_id)

    def pinned(self, pins: RowsPins, job: OutcomesJob) -> RowsPins:  # noqa: ARG002 - nothing besides
        return pins

    def cut(
        self, job: OutcomesJob, pins: RowsPins, source: InputFile
    ) -> tuple[OutcomesPlan, CutInput]:
        cut = source.cut(CHUNK_ROWS)
        return _plan(job, pins, cut.columns), cut

    def importing(self, plan: OutcomesPlan, request_id: str) -> ChunkImport[ChunkKept]:
        return _Taking(plan, self.intake, request_id)

    def summed(
        self, job_id: str, plan: OutcomesPlan, results: Sequence[ChunkKept]
    ) -> tuple[OutcomesManifest, type[OutcomesResult]]:
        return _manifest(job_id, plan, results), OutcomesResult


def _plan(job: OutcomesJob, pins: RowsPins, columns: tuple[str, ...]) -> OutcomesPlan:
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


class _Taking(ChunkImport[ChunkKept]):
    """Keeps the outcomes of one chunk, to be appended: one part for each slice of rows."""

    def __init__(self, plan: OutcomesPlan, intake: Intake, request_id: str) -> None:
        super().__init__(request_id)
        self._plan, self._intake = plan, intake
        self._parts: list[Part] = []
        self._versions = Counter[str]()

    @property
    def schema(self) -> InputSchema:
        plan, named = self._plan, self._plan.named
        raw = [named.label]
        if named.entity_id is not None:
            raw.append(named.predicted_at)
        if plan.observed:
            raw.append(named.observed_at)
        return InputSchema(named.keys, (), {}, raw=tuple(dict.fromkeys(raw)))

    def take(self, rows: InputRows, errors: RowErrors, request_id: str) -> None:
        plan, named = self._plan, self._plan.named
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
            self._parts.append(self._intake.part(plan.model, request_id, outcomes))
        self._versions.update(by_version(outcomes))

    def append(self) -> None:
        self._intake.append(self._parts)

    def result(self, counts: Mapping[str, Any]) -> ChunkKept:
        return ChunkKept(**counts, versions=dict(self._versions))

    def _times(
        self, cells: Sequence[Any], column: str, errors: RowErrors, *, needed: bool = True
    ) -> list[int | None]:
        """Microseconds of each row; ``None`` where it has none and needs none, or is wrong."""
        plan = self._plan
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
    versions, shared = Counter[str](), shared_counts(results)
    for result in results:
        versions.update(result.versions)
    return OutcomesManifest(
        job_id=job_id,
        model=plan.model,
        input=plan.input,
        input_etag=plan.pins.etag,
        accepted=shared["rows"] - shared["failed"],
        versions=dict(sorted(versions.items(), key=lambda item: int(item[0][1:]))),
        **shared,
    )
