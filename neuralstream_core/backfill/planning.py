"""A backfill accepted, and planned: which columns of the file are what of the view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from neuralstream_core.backfill.import_work import Imports
from neuralstream_core.backfill.records import (
    BackfillJob,
    BackfillJobs,
    BackfillPins,
    BackfillPlan,
    BackfillSpec,
)
from neuralstream_core.errors import Conflict, FieldError, Invalid
from neuralstream_core.features.catalog import Catalog
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.jobs.records import JobKind, NewJob
from neuralstream_core.serving.batch.splitting import CHUNK_ROWS

__all__ = ["Backfills", "backfill_plan", "chunk_rows", "living", "living_view"]

_CHUNK_CELLS: Final = 4 << 20
"""Values of one chunk, whose packed rows are held until they are appended: about 32 MiB of float64."""


@dataclass(frozen=True, slots=True)
class Backfills:
    """Accepts backfills."""

    jobs: BackfillJobs
    imports: Imports
    catalog: Catalog

    def submit(self, spec: BackfillSpec, actor: str, *, key: str | None = None) -> BackfillJob:
        """Accept a job; arguments as `Jobs.submit`.

        Raises:
            NotFound: no such view or input.
            Invalid: a location that jobs may not use, an unknown format, feature or entity key.
            Conflict: ``key`` was used for another request.
        """
        fields = self.imports.checked(spec.input, spec)
        view = self.catalog.latest(spec.feature_view)
        _keys(view, spec.entity, ())
        _features(view, spec.features)
        return self.jobs.submit(NewJob(JobKind.BACKFILL, spec, fields), actor, key=key)


def chunk_rows(view: FeatureView) -> int:
    """How many rows a chunk may have."""
    width = sum(feature.size or 1 for feature in view.features)
    return max(1, min(CHUNK_ROWS, _CHUNK_CELLS // width))


def living(view: FeatureView, generation: str) -> None:
    """Raises:
    Conflict: the view is not the one that the job began with.
    """
    if view.generation != generation:
        raise Conflict(
            f"view {view.name} was deleted and created anew since the job began",
            code="view_changed",
        )


def living_view(catalog: Catalog, name: str, generation: str) -> FeatureView:
    """The view that a job began with, as it is now.

    Raises:
        NotFound: it was deleted.
        Conflict: it was deleted and created anew.
    """
    view = catalog.latest(name)
    living(view, generation)
    return view


def backfill_plan(
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
