"""The first task of a job: pin what the job works with and cut its input into chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from neuralstream_core.errors import Conflict, Invalid
from neuralstream_core.jobs.tasks import Planned
from neuralstream_core.objects import Objects
from neuralstream_core.registry.allocation import BUCKETS, Allocation, allocation_in_force
from neuralstream_core.registry.records import Signature, VersionRecord, VersionStatus, number_of
from neuralstream_core.registry.registry import Registry, ServedModel
from neuralstream_core.serving.batch.chunks import output_types
from neuralstream_core.serving.batch.inputs import InputFile
from neuralstream_core.serving.batch.locations import (
    Buckets,
    InputFormat,
    input_format,
)
from neuralstream_core.serving.batch.manifest import JobPlan, PredictionType, predict_files
from neuralstream_core.serving.batch.records import Pins, PredictJob, PredictJobs
from neuralstream_core.serving.batch.splitting import CHUNK_ROWS
from neuralstream_core.serving.entities import primary_view
from neuralstream_core.serving.outputs import OutputReader
from neuralstream_core.time import Clock

__all__ = ["Planner", "served"]

_CHUNK_CELLS: Final = 8 << 20
"""Feature values of one chunk, which are held until it is counted: 64 MiB of float64."""


def served(registry: Registry, model: str, version: str | None) -> tuple[ServedModel, Allocation]:
    """The versions that answer for ``model`` and the share of each: the named one, the split, or production.

    Raises:
        NotFound: no such model or version.
        Conflict: no version is named and none is in production.
        Invalid: a version is not ready to serve.
    """
    routing = registry.served(model)
    allocation = allocation_in_force(routing.model) if version is None else ((version, BUCKETS),)
    if allocation is None:
        raise Conflict(
            f"{model} has no production version; promote one or name a version",
            code="no_production_version",
        )
    versions = {
        name: routing.versions.get(name) or registry.version(model, name)
        for name, buckets in allocation
        if buckets
    }
    prediction_type(versions.values())
    return ServedModel(routing.model, versions), allocation


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans jobs.

    Attributes:
        data_bucket: holds plans and results.
        keys_of: the entity keys of a feature view.
    """

    jobs: PredictJobs
    objects: Objects
    buckets: Buckets
    data_bucket: str
    clock: Clock
    registry: Registry
    keys_of: Callable[[str], tuple[str, ...]]

    def plan(self, job_id: str) -> Planned:
        """Pin, cut and store the plan. A second call makes the same plan again.

        Raises:
            NotFound: no such job, input, model or version.
            Invalid: the input cannot be cut, or the model cannot predict from a file.
            TooLarge: the input or the number of its chunks is over a limit.
            Conflict: the job is done, or the input was replaced since the first call.
            RuntimeError: the role may not write the plan.
        """
        job = self.jobs.get(job_id)
        at = self.buckets.check(job.input, "input")
        source = InputFile.now(self.objects, at, input_format(at, job.input_format))
        serving, allocation = served(self.registry, job.model, job.version)
        job, pins = self.jobs.begin(
            job_id,
            Pins(
                as_of=self.clock(),
                size=source.size,
                etag=source.etag,
                salt=serving.model.salt,
                allocation=allocation,
            ),
        )
        source.check(pins.etag)
        plan = self._plan_of(job, source.kind, pins, serving.versions.values())
        width = max(sum(ref.size for ref in v.features) for v in serving.versions.values())
        cut = source.cut(max(1, min(CHUNK_ROWS, _CHUNK_CELLS // max(1, width))))
        if cut.columns:
            plan = plan.model_copy(update=_columns(plan, cut.columns))
        chunks = cut.listed()
        if plan.output_format == "parquet":
            _check_names(plan)
        files = predict_files(self.objects, self.data_bucket, job_id)
        planned = files.write_plan(plan, chunks)
        self.jobs.planned(job_id, planned.chunks)
        return planned

    def _plan_of(
        self, job: PredictJob, kind: InputFormat, pins: Pins, versions: Iterable[VersionRecord]
    ) -> JobPlan:
        versions = sorted(versions, key=lambda version: number_of(version.version))
        refs = [ref for version in versions for ref in version.features]
        views = list(dict.fromkeys(ref.view for ref in refs if ref.view and ref.role is None))
        roles = versions[0].roles
        by_role = bool(roles) and primary_view(None, versions[0]) is None
        keys = roles if by_role else self.keys_of(views[0]) if views else ("entity_id",)
        others = {key for view in views for key in self.keys_of(view)}
        others |= {role for version in versions for role in version.roles}
        features = {ref.label: (ref.dtype, ref.size) for ref in refs if ref.view}
        features |= {ref.feature: (ref.dtype, ref.size) for ref in refs if not ref.view}
        readers = [OutputReader(v.signature) for v in versions if v.signature is not None]
        return JobPlan(
            job_id=job.job_id,
            model=job.model,
            input=job.input,
            input_format=kind,
            output=job.output,
            output_format=job.output_format,
            pins=pins,
            keys=keys,
            others=tuple(sorted(others - set(keys))),
            by_role=by_role,
            features=features,
            prediction=prediction_type(versions),
            multiple=any(reader.multiple for reader in readers),
            classes=_named(readers, "probabilities"),
            score=any(reader.has_score for reader in readers),
            scored=_named(readers, "scores"),
            outputs=tuple(dict.fromkeys(name for r in readers for name in r.names)),
        )


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


def _columns(plan: JobPlan, present: tuple[str, ...]) -> dict[str, object]:
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


def _check_names(plan: JobPlan) -> None:
    """Raises:
    Invalid: columns of a Parquet output, or the fields of one, differ only in case.
    """
    types = output_types(plan)
    objects = [list(fields) for fields in types.values() if isinstance(fields, dict)]
    for names in (list(types), *objects):
        if len({name.casefold() for name in names}) < len(names):
            raise Invalid.at(
                "output_format",
                "the Parquet output would have names that differ only in upper and lower case;"
                " choose jsonl",
                code="ambiguous_names",
            )
