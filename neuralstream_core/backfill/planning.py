"""A backfill accepted, and planned: which columns of the file are what of the view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from neuralstream_core.backfill.records import (
    BackfillJob,
    BackfillJobs,
    BackfillPins,
    BackfillPlan,
    BackfillSpec,
    backfill_files,
)
from neuralstream_core.errors import Conflict, FieldError, Invalid
from neuralstream_core.features.catalog import Catalog
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.jobs.files import JOBS
from neuralstream_core.jobs.records import JobKind, NewJob
from neuralstream_core.jobs.tasks import Planned
from neuralstream_core.objects import Objects
from neuralstream_core.serving.batch.inputs import InputFile
from neuralstream_core.serving.batch.locations import Buckets, input_format
from neuralstream_core.serving.batch.splitting import CHUNK_ROWS
from neuralstream_core.table import Item
from neuralstream_core.time import Clock

__all__ = ["BackfillPlanner", "Backfills", "living"]

_CHUNK_CELLS: Final = 4 << 20
"""Values of one chunk, whose packed rows are held until they are appended: about 32 MiB of float64."""


@dataclass(frozen=True, slots=True)
class Backfills:
    """Accepts backfills."""

    jobs: BackfillJobs
    objects: Objects
    buckets: Buckets
    data_bucket: str
    catalog: Catalog

    def submit(self, spec: BackfillSpec, actor: str, *, key: str | None = None) -> BackfillJob:
        """Accept a job; arguments as `Jobs.submit`.

        Raises:
            NotFound: no such view or input.
            Invalid: a location that jobs may not use, an unknown format, feature or entity key.
            Conflict: ``key`` was used for another request.
        """
        source = self.buckets.check(spec.input, "input")
        base = spec.output
        if base is None:
            base = f"s3://{self.data_bucket}/{JOBS}backfills/"
        else:
            self.buckets.check(base, "output", folder=True)
        kind = input_format(source, spec.input_format)
        view = self.catalog.latest(spec.feature_view)
        _keys(view, spec.entity, ())
        _features(view, spec.features)
        self.objects.stat(source)

        def fields(job_id: str) -> Item:
            return {"input_format": kind, "output": f"{base.rstrip('/')}/{job_id}/"}

        return self.jobs.submit(NewJob(JobKind.BACKFILL, spec, fields), actor, key=key)


@dataclass(frozen=True, slots=True)
class BackfillPlanner:
    """Plans backfills."""

    jobs: BackfillJobs
    objects: Objects
    buckets: Buckets
    data_bucket: str
    clock: Clock
    catalog: Catalog

    def plan(self, job_id: str) -> Planned:
        """Pin, cut and store the plan. A second call makes the same plan again.

        Raises:
            NotFound: no such job, input or view.
            Invalid: the input cannot be cut, or lacks a column.
            TooLarge: the input or the number of its chunks is over a limit.
            Conflict: the job is done, or the input or the view was replaced since the first call.
        """
        job = self.jobs.get(job_id)
        view = self.catalog.latest(job.feature_view)
        at = self.buckets.check(job.input, "input")
        source = InputFile.now(self.objects, at, job.input_format)
        job, pins = self.jobs.begin(
            job_id,
            BackfillPins(
                as_of=self.clock(), size=source.size, etag=source.etag, generation=view.generation
            ),
        )
        source.check(pins.etag)
        living(view, pins.generation)
        width = sum(feature.size or 1 for feature in view.features)
        cut = source.cut(max(1, min(CHUNK_ROWS, _CHUNK_CELLS // width)))
        plan = _plan(job, view, pins, cut.columns)
        planned = backfill_files(self.objects, self.data_bucket, job_id).write_plan(
            plan, cut.listed()
        )
        self.jobs.planned(job_id, planned.chunks)
        return planned


def living(view: FeatureView, generation: str) -> None:
    """Raises:
    Conflict: the view is not the one that the job began with.
    """
    if view.generation != generation:
        raise Conflict(
            f"view {view.name} was deleted and created anew since the job began",
            code="view_changed",
        )


def _plan(
    job: BackfillJob, view: FeatureView, pins: BackfillPins, columns: tuple[str, ...]
) -> BackfillPlan:
    """The plan, for the columns that the input has; JSON lines have none.

    Raises:
        Invalid: a column is absent, or there is none to write.
    """
    keys = _keys(view, job.entity, columns)
    features = _features(view, job.features)
    if job.features is None:
        taken = {*keys, job.timestamp}
        features = {f: c for f, c in features.items() if c not in taken}
    if columns:
        if job.features is None:
            features = {f: c for f, c in features.items() if c in columns}
        wanted = (*keys, job.timestamp, *features.values())
        if absent := [name for name in dict.fromkeys(wanted) if name not in columns]:
            raise Invalid.at("input", f"has no column {absent[0]}", code="missing_column")
        if not features:
            raise Invalid.at(
                "input", f"no column is named as a feature of {view.name}", code="missing_column"
            )
    return BackfillPlan(
        feature_view=view.name,
        input=job.input,
        input_format=job.input_format,
        output=job.output,
        pins=pins,
        keys=keys,
        features=features,
        columns=columns,
        timestamp=job.timestamp,
        timezone=job.timezone,
        empty=job.empty,
    )


def _keys(
    view: FeatureView, entity: str | Mapping[str, str] | None, columns: tuple[str, ...]
) -> tuple[str, ...]:
    """The column of each entity key.

    Raises:
        Invalid: the request names other keys than the view has.
    """
    if isinstance(entity, str):
        if len(view.keys) > 1:
            raise Invalid.at(
                "entity", f"give the column of each key: {', '.join(view.keys)}", code="entity_keys"
            )
        return (entity,)
    if entity is not None:
        if set(entity) != set(view.keys):
            raise Invalid.at(
                "entity", f"must have exactly the keys {', '.join(view.keys)}", code="entity_keys"
            )
        return tuple(entity[key] for key in view.keys)
    if len(view.keys) == 1 and "entity_id" in columns and view.keys[0] not in columns:
        return ("entity_id",)
    return view.keys


def _features(view: FeatureView, features: Mapping[str, str] | None) -> dict[str, str]:
    """The column of each feature.

    Raises:
        Invalid: names each one that the view does not have.
    """
    if features is None:
        return {name: name for name in view.names}
    if unknown := [name for name in features if name not in view.index]:
        raise Invalid(
            f"view {view.name} has no feature {', '.join(unknown[:5])}",
            code="unknown_feature",
            errors=[
                FieldError(f"features.{name}", f"is not a feature of {view.name}")
                for name in unknown[:100]
            ],
        )
    return dict(features)
