"""Records of batch jobs and of the schedule runs that asked for them.

Items, all under partition key ``JOB#{ns}#{id}``: ``JOB`` is the record (listed newest first on GSI1
under ``JOBS#{ns}``), ``OWNER`` lists it under ``JOBS#{ns}#{principal}``, ``CHUNK#{n}`` marks a chunk that
is counted, ``RUN`` lists a job of a schedule by scheduled time under ``RUNS#{ns}#{schedule}``. A new record
carries an ``outbox`` attribute in the same write, which `DispatchFunction` turns into one execution of the
state machine; the first task removes it.
"""

from __future__ import annotations

import base64
import builtins
import hashlib
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Any, Final, NamedTuple

from pydantic import AwareDatetime, Field

from neuralstream_core.errors import ConditionFailed, Conflict, NotFound
from neuralstream_core.serving.batch.locations import InputFormat, OutputFormat
from neuralstream_core.serving.batch.requests import JobSpec
from neuralstream_core.table import Item, Page, Table
from neuralstream_core.time import Clock, Micros, iso
from neuralstream_core.types import NEXT_PAGE, Name, Record, VersionName

__all__ = ["Failure", "JobPage", "JobRecord", "JobResult", "JobStatus", "Jobs", "Pins", "Run"]

_MARKER_DAYS: Final = 30
_MAX_DETAIL: Final = 2000
_IDENTITY: Final = tuple(JobSpec.model_fields)
"""Fields that two submissions under one idempotency key must have in common."""


class JobStatus(StrEnum):
    """SUCCEEDED and FAILED are final."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"

    @property
    def done(self) -> bool:
        return self in (JobStatus.SUCCEEDED, JobStatus.FAILED)


class Pins(Record):
    """State at the start of the job, which every chunk and every retry works with."""

    as_of: Micros
    """Microseconds: the time at which expiry of feature values is decided."""
    size: int
    etag: str
    salt: str
    allocation: tuple[tuple[VersionName, int], ...]
    """See `neuralstream_core.registry.allocation`."""


class Progress(Record):
    """Chunks and rows that are done."""

    chunks: int = Field(default=0, description="parts of the input; 0 until it is divided")
    chunks_done: int = Field(default=0, description="parts that are predicted")
    rows: int = Field(default=0, description="rows of these parts, failed ones included")
    failed: int = Field(default=0, description="rows among them without a prediction")


class Failure(Record):
    """Why a job failed."""

    code: str = Field(description="stable and machine-readable")
    detail: str = Field(description="for a person")


class JobResult(Record):
    """Counts and files of a finished job."""

    manifest: str | None = Field(
        default=None,
        description="`s3://` address of the list of output files; only they are output",
    )
    rows: int = Field(description="rows of the input, failed ones included")
    failed: int = Field(description="rows without a prediction")
    versions: dict[VersionName, int] = Field(
        default_factory=dict, description="rows by the version that answered"
    )
    errors: list[str] = Field(
        default_factory=list, description="files of failed rows; the first 100"
    )
    reasons: dict[str, int] = Field(default_factory=dict, description="failed rows by error code")


class JobRecord(Record):
    """One job as stored and answered."""

    job_id: str = Field(description="asks for it at `/jobs/{job_id}`")
    model: Name = Field(description="the model that predicts")
    status: JobStatus = Field(description="how far it is")
    input: str = Field(description="`s3://` address of the input")
    input_format: InputFormat | None = Field(
        description="null: the job was refused, as neither it nor the extension said"
    )
    output: str = Field(description="folder of this job's own files, below the output asked for")
    output_format: OutputFormat = Field(description="of the files it writes")
    version: VersionName | None = Field(
        default=None, description="pinned by the request; null: production and its split"
    )
    max_failed_fraction: float = Field(
        description="it fails when more than this share of its rows failed, 0 to 1"
    )
    allow_empty: bool = Field(
        default=False, description="whether an input without rows is a job well done"
    )
    progress: Progress = Field(default_factory=Progress, description="what is done by now")
    outcome: JobResult | None = Field(
        default=None, description="counts and files; null until it is finished"
    )
    failure: Failure | None = Field(default=None, description="why it FAILED; null otherwise")
    created_at: AwareDatetime = Field(description="when it was accepted, UTC")
    created_by: str = Field(description="principal of the API key, who may see it")
    started_at: AwareDatetime | None = Field(default=None, description="UTC; null while PENDING")
    finished_at: AwareDatetime | None = Field(
        default=None, description="UTC; null until it is finished"
    )
    schedule: Name | None = Field(default=None, description="the schedule that asked for it")
    scheduled_time: AwareDatetime | None = Field(
        default=None, description="the run of the schedule, UTC"
    )


class JobPage(Record):
    """Jobs, newest first."""

    jobs: list[JobRecord] = Field(description="the newest first")
    next_token: str | None = Field(default=None, description=NEXT_PAGE)


class Run(NamedTuple):
    """One run of a schedule."""

    schedule: Name
    scheduled: Micros

    @property
    def key(self) -> str:
        """Idempotency key of the run's job; no caller can send it, as a header holds no line break."""
        return f"schedule\n{self.schedule}\n{self.scheduled}"


class Jobs:
    """Job records of one namespace."""

    def __init__(self, table: Table, namespace: str, clock: Clock) -> None:
        self._table, self._namespace, self._clock = table, namespace, clock

    def submit(
        self,
        spec: JobSpec,
        input_format: InputFormat | None,
        actor: str,
        *,
        key: str | None = None,
        run: Run | None = None,
        refused: Failure | None = None,
    ) -> JobRecord:
        """Store a new job and, in the same write, the call that starts it.

        Args:
            actor: principal to whom the job belongs; of a run, the creator of the schedule.
            key: idempotency key; the same key and spec of one principal twice make one job.
            run: of the schedule that asks for the job, in place of a key; a run makes one job, the first.
            refused: why the job cannot run; it is stored as failed and not started.

        Raises:
            Conflict: ``key`` was used for another spec.
        """
        now = self._clock()
        if run is not None:
            # no principal: the run stays one job if the schedule changes its owner
            job_id = _keyed_id(self._namespace, "", run.key)
        else:
            job_id = _keyed_id(self._namespace, actor, key) if key else _new_id(now)
        pk, sk = self._pair(job_id)
        item: Item = {
            "PK": pk,
            "SK": sk,
            "GSI1PK": f"JOBS#{self._namespace}",
            "GSI1SK": f"{now:020d}#{job_id}",
            **spec.model_dump(),
            "job_id": job_id,
            "status": JobStatus.PENDING if refused is None else JobStatus.FAILED,
            "input_format": input_format,
            "output": f"{spec.output.rstrip('/')}/{job_id}/",
            "created_at": iso(now),
            "created_by": actor,
            "chunks_done": 0,
            "rows_done": 0,
            "rows_failed": 0,
        }
        if refused is None:
            item["outbox"] = {"kind": "start_job", "job_id": job_id}
        else:
            item |= {"failure": _bounded(refused).model_dump(), "finished_at": iso(now)}
        try:
            self._store(item, run)
        except ConditionFailed:
            earlier = {"allow_empty": False, **self._item(job_id)}
            if run is None and any(earlier.get(name) != item[name] for name in _IDENTITY):
                raise Conflict(
                    "this idempotency key was used for a different job", code="idempotency_conflict"
                ) from None
            return _record(earlier)
        return _record(item)

    def get(self, job_id: str, *, owner: str | None = None) -> JobRecord:
        """One job.

        Args:
            owner: the principal it must belong to.

        Raises:
            NotFound: no such job, or another principal's.
        """
        item = self._item(job_id)
        if owner is not None and item["created_by"] != owner:
            raise _absent(job_id)
        return _record(item)

    def list(
        self, *, owner: str | None = None, limit: int = 50, token: str | None = None
    ) -> JobPage:
        """A page of jobs, newest first; of one principal if ``owner`` is given."""
        pk = f"JOBS#{self._namespace}" + ("" if owner is None else f"#{owner}")
        page = self._table.query(pk, index=True, limit=limit, token=token, newest_first=True)
        jobs = [_record(item) for item in page] if owner is None else self._of(page)
        return JobPage(jobs=jobs, next_token=page.next_token)

    def of_schedule(self, schedule: str, *, limit: int) -> builtins.list[JobRecord]:
        """The jobs of a schedule's last runs (at most 100), newest scheduled time first."""
        return self._of(self._runs(schedule, limit))

    def last_of_schedules(self, schedules: Iterable[str]) -> dict[str, JobRecord]:
        """The job of the last run of each schedule (at most 100) that ran."""
        runs = [run for schedule in schedules for run in self._runs(schedule, 1)]
        return {job.schedule: job for job in self._of(runs) if job.schedule is not None}

    def _runs(self, schedule: str, limit: int) -> Page:
        listing = f"RUNS#{self._namespace}#{schedule}"
        return self._table.query(listing, index=True, limit=limit, newest_first=True)

    def _of(self, places: Sequence[Item]) -> builtins.list[JobRecord]:
        """The jobs of places in a list; a place may be written before its job."""
        found = self._table.get_many([self._pair(place["job_id"]) for place in places])
        jobs = {item["job_id"]: _record(item) for item in found}
        return [jobs[place["job_id"]] for place in places if place["job_id"] in jobs]

    def _store(self, item: Item, run: Run | None) -> None:
        """Write a new job, and its places among its owner's jobs and among the runs of a schedule.

        Raises:
            ConditionFailed: there is a job of this id.
        """
        new = "attribute_not_exists(PK)"
        of_owner = f"{item['GSI1PK']}#{item['created_by']}"
        with suppress(ConditionFailed):  # a repeated submission keeps its place in the list
            self._table.put(_place(item, "OWNER", of_owner, item["GSI1SK"]), condition=new)
        if run is None:
            self._table.put(item, condition=new)
            return
        item |= {"schedule": run.schedule, "scheduled_time": iso(run.scheduled)}
        runs = f"RUNS#{self._namespace}#{run.schedule}"
        place = _place(item, "RUN", runs, f"{run.scheduled:020d}")
        self._table.transact(
            [self._table.put_action(item, condition=new), self._table.put_action(place)]
        )

    def begin(self, job_id: str, pins: Pins) -> tuple[JobRecord, Pins]:
        """Mark the job as running. The pins of the first call are kept and returned by every later one.

        Raises:
            NotFound: no such job.
            Conflict: the job is already done.
        """
        try:
            item = self._advance(
                job_id,
                "SET #status = :running, started_at = if_not_exists(started_at, :now),"
                " pins = if_not_exists(pins, :pins) REMOVE outbox",
                {":pins": pins.model_dump()},
            )
        except ConditionFailed:
            raise Conflict(
                f"{job_id} is already {self.get(job_id).status}", code="job_done"
            ) from None
        return _record(item), Pins.model_validate(item["pins"])

    def planned(self, job_id: str, chunks: int) -> None:
        """Store the number of chunks."""
        self._table.update(
            *self._pair(job_id),
            "SET chunks = :chunks",
            values={":chunks": chunks},
            condition="attribute_exists(PK)",
        )

    def chunk_done(self, job_id: str, chunk: int, rows: int, failed: int) -> bool:
        """Count a chunk's rows. Returns whether this was its first time; later calls change nothing."""
        marker: Item = {
            "PK": self._pair(job_id)[0],
            "SK": f"CHUNK#{chunk:06d}",
            "expires_at": self._clock() // 1_000_000 + _MARKER_DAYS * 86400,
        }
        try:
            self._table.put(marker, condition="attribute_not_exists(PK)")
        except ConditionFailed:
            return False
        self._table.update(
            *self._pair(job_id),
            "ADD chunks_done :one, rows_done :rows, rows_failed :failed",
            values={":one": 1, ":rows": rows, ":failed": failed},
        )
        return True

    def finish(self, job_id: str, outcome: JobResult | None, failure: Failure | None) -> JobRecord:
        """End the job, failed when there is a ``failure``. A job that has ended stays as it is."""
        values: Item = {
            ":status": JobStatus.SUCCEEDED if failure is None else JobStatus.FAILED,
            ":outcome": None if outcome is None else outcome.model_dump(),
            ":failure": None if failure is None else _bounded(failure).model_dump(),
        }
        try:
            item = self._advance(
                job_id,
                "SET #status = :status, finished_at = :now, outcome = :outcome, failure = :failure"
                " REMOVE outbox",
                values,
            )
        except ConditionFailed:
            return self.get(job_id)
        return _record(item)

    def _advance(self, job_id: str, change: str, values: Item) -> Item:
        """Change a job that has not ended.

        Raises:
            ConditionFailed: it has ended, or there is none.
        """
        return self._table.update(
            *self._pair(job_id),
            change,
            values={
                ":pending": JobStatus.PENDING,
                ":running": JobStatus.RUNNING,
                ":now": iso(self._clock()),
                **values,
            },
            names={"#status": "status"},
            condition="#status IN (:pending, :running)",
        )

    def _item(self, job_id: str) -> Item:
        item = self._table.get(*self._pair(job_id))
        if item is None:
            raise _absent(job_id)
        return item

    def _pair(self, job_id: str) -> tuple[str, str]:
        return f"JOB#{self._namespace}#{job_id}", "JOB"


def _record(item: Item) -> JobRecord:
    fields: dict[str, Any] = dict(item)
    fields["progress"] = {
        "chunks": item.get("chunks", 0),
        "chunks_done": item["chunks_done"],
        "rows": item["rows_done"],
        "failed": item["rows_failed"],
    }
    return JobRecord.model_validate(fields)


def _place(job: Item, kind: str, listing: str, moment: str) -> Item:
    """The entry by which ``job`` is found in a further list."""
    return {
        "PK": job["PK"],
        "SK": kind,
        "GSI1PK": listing,
        "GSI1SK": moment,
        "job_id": job["job_id"],
    }


def _absent(job_id: str) -> NotFound:
    return NotFound(f"no job {job_id}", code="job_not_found")


def _bounded(failure: Failure) -> Failure:
    return Failure(code=failure.code[:128], detail=failure.detail[:_MAX_DETAIL])


def _new_id(now: Micros) -> str:
    """A random id that sorts by time and is a valid execution name."""
    return _encoded(now.to_bytes(8) + secrets.token_bytes(8))


def _keyed_id(namespace: str, actor: str, key: str) -> str:
    # no part holds a NUL: a principal is printable, a namespace is letters and digits
    return _encoded(hashlib.sha256(f"{namespace}\0{actor}\0{key}".encode()).digest()[:16])


def _encoded(data: bytes) -> str:
    return "job-" + base64.b32hexencode(data).decode().rstrip("=").lower()
