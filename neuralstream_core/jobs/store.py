"""Records of jobs and of the schedule runs that asked for them.

Items, all under partition key ``JOB#{ns}#{id}``: ``JOB`` is the record (listed newest first on GSI1
under ``JOBS#{ns}``), ``OWNER`` lists it under ``JOBS#{ns}#{principal}``, ``CHUNK#{n}`` marks a chunk that
is counted, ``RUN`` lists a job of a schedule by scheduled time under ``RUNS#{ns}#{schedule}``. A new record
carries an ``outbox`` attribute in the same write, which `DispatchFunction` turns into one execution of the
state machine of the job's kind; the first task removes it. Records of releases that knew one kind of job have
no ``kind``: they predict.
"""

from __future__ import annotations

import base64
import builtins
import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Generic, NamedTuple, TypeVar

from pydantic import BaseModel

from neuralstream_core.errors import ConditionFailed, Conflict, NotFound
from neuralstream_core.jobs.records import Failure, JobKind, JobRecord, JobStatus, NewJob, Run
from neuralstream_core.table import Item, Page, Table
from neuralstream_core.time import Clock, Micros, iso

__all__ = ["JobList", "Jobs"]

R_co = TypeVar("R_co", bound=JobRecord, covariant=True)
P = TypeVar("P", bound=BaseModel)

_MARKER_DAYS: Final = 30
_MAX_DETAIL: Final = 2000


class JobList(NamedTuple, Generic[R_co]):
    """Jobs, newest first, and the token of the next page."""

    jobs: Sequence[R_co]
    next_token: str | None


class Jobs(Generic[R_co]):
    """Job records of one namespace.

    Args:
        kinds: the kinds of jobs to see, and the class of their records; a job of another kind is not found,
            and not listed.
    """

    def __init__(
        self, table: Table, namespace: str, clock: Clock, kinds: Mapping[JobKind, type[R_co]]
    ) -> None:
        self._table, self._namespace, self._clock = table, namespace, clock
        self._kinds = kinds

    def submit(
        self,
        new: NewJob,
        actor: str,
        *,
        key: str | None = None,
        run: Run | None = None,
        refused: Failure | None = None,
    ) -> R_co:
        """Store a new job and, in the same write, the call that starts it.

        Args:
            actor: principal to whom the job belongs; of a run, the creator of the schedule.
            key: idempotency key; the same key and request of one principal twice make one job.
            run: of the schedule that asks for the job, in place of a key; a run makes one job, the first.
            refused: why the job cannot run; it is stored as failed and not started.

        Raises:
            Conflict: ``key`` was used for another request.
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
            **new.spec.model_dump(mode="json"),
            **new.fields(job_id),
            "job_id": job_id,
            "kind": new.kind,
            "status": JobStatus.PENDING if refused is None else JobStatus.FAILED,
            "created_at": iso(now),
            "created_by": actor,
            "chunks_done": 0,
            "rows_done": 0,
            "rows_failed": 0,
        }
        if refused is None:
            item["outbox"] = {"kind": "start_job", "job_id": job_id, "job": new.kind}
        else:
            item |= {"failure": _bounded(refused).model_dump(), "finished_at": iso(now)}
        try:
            self._store(item, run)
        except ConditionFailed:
            earlier = self._item(job_id)
            if run is None and not _same(earlier, item, new.spec):
                raise Conflict(
                    "this idempotency key was used for a different job", code="idempotency_conflict"
                ) from None
            return self._record(earlier)
        return self._record(item)

    def get(self, job_id: str, *, owner: str | None = None) -> R_co:
        """One job.

        Args:
            owner: the principal it must belong to.

        Raises:
            NotFound: no such job, another principal's, or one of a kind that is not seen here.
        """
        item = self._item(job_id)
        if owner is not None and item["created_by"] != owner:
            raise _absent(job_id)
        return self._record(item)

    def list(
        self, *, owner: str | None = None, limit: int = 50, token: str | None = None
    ) -> JobList[R_co]:
        """A page of jobs, newest first; of one principal if ``owner`` is given."""
        pk = f"JOBS#{self._namespace}" + ("" if owner is None else f"#{owner}")
        page = self._table.query(pk, index=True, limit=limit, token=token, newest_first=True)
        jobs = self._seen(page) if owner is None else self._of(page)
        return JobList(jobs, page.next_token)

    def of_schedule(self, schedule: str, *, limit: int) -> builtins.list[R_co]:
        """The jobs of a schedule's last runs (at most 100), newest scheduled time first."""
        return self._of(self._runs(schedule, limit))

    def last_of_schedules(self, schedules: Iterable[str]) -> dict[str, R_co]:
        """The job of the last run of each schedule (at most 100) that ran."""
        runs = {schedule: list(self._runs(schedule, 1)) for schedule in schedules}
        jobs = {
            job.job_id: job for job in self._of([run for page in runs.values() for run in page])
        }
        return {
            schedule: jobs[run["job_id"]]
            for schedule, page in runs.items()
            for run in page
            if run["job_id"] in jobs
        }

    def _runs(self, schedule: str, limit: int) -> Page:
        listing = f"RUNS#{self._namespace}#{schedule}"
        return self._table.query(listing, index=True, limit=limit, newest_first=True)

    def _of(self, places: Sequence[Item]) -> builtins.list[R_co]:
        """The jobs of places in a list; a place may be written before its job."""
        found = self._table.get_many([self._pair(place["job_id"]) for place in places])
        jobs = {job.job_id: job for job in self._seen(found)}
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

    def begin(self, job_id: str, pins: P) -> tuple[R_co, P]:
        """Mark the job as running.

        Args:
            pins: state that every task of the job works with; that of the first call is kept and returned by
                every later one.

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
        return self._record(item), type(pins).model_validate(item["pins"])

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

    def finish(self, job_id: str, outcome: BaseModel | None, failure: Failure | None) -> R_co:
        """End the job, failed when there is a ``failure``. A job that has ended stays as it is."""
        values: Item = {
            ":status": JobStatus.SUCCEEDED if failure is None else JobStatus.FAILED,
            ":outcome": None if outcome is None else outcome.model_dump(mode="json"),
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
        return self._record(item)

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

    def _seen(self, items: Iterable[Item]) -> builtins.list[R_co]:
        return [self._record(item) for item in items if _kind(item) in self._kinds]

    def _record(self, item: Item) -> R_co:
        """Raises:
        NotFound: the job is of a kind that is not seen here.
        """
        kind = _kind(item)
        if kind not in self._kinds:
            raise _absent(item["job_id"])
        progress = {
            "chunks": item.get("chunks", 0),
            "chunks_done": item["chunks_done"],
            "rows": item["rows_done"],
            "failed": item["rows_failed"],
        }
        fields: dict[str, Any] = {**item, "kind": kind, "progress": progress}
        return self._kinds[JobKind(kind)].model_validate(fields)

    def _pair(self, job_id: str) -> tuple[str, str]:
        return f"JOB#{self._namespace}#{job_id}", "JOB"


def _kind(item: Item) -> str:
    return str(item.get("kind", JobKind.PREDICT))


def _same(earlier: Item, item: Item, spec: BaseModel) -> bool:
    """Whether two jobs were asked to do the same; an older release did not store every field."""
    defaults = {name: field.default for name, field in type(spec).model_fields.items()}
    return _kind(earlier) == _kind(item) and all(
        earlier.get(name, default) == item[name] for name, default in defaults.items()
    )


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
