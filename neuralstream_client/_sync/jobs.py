"""``ns.jobs``: jobs of every kind, and batch predictions from files to files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal, TypeAlias, TypeVar, overload

from neuralstream_client._sync.transport import Transport
from neuralstream_client._sync.uploads import address_of
from neuralstream_client.answers import PredictJob
from neuralstream_client.call import Call, path
from neuralstream_client.errors import JobFailed
from neuralstream_client.inputs import JobInput
from neuralstream_client.jobs import AnyJob, job_of
from neuralstream_client.progress import Progress, reporting
from neuralstream_client.waiting import DONE, Pauses

__all__ = ["InputFormat", "Jobs", "OutputFormat"]

J = TypeVar("J", bound=AnyJob)
InputFormat: TypeAlias = Literal["csv", "jsonl", "parquet"]
OutputFormat: TypeAlias = Literal["jsonl", "parquet"]


class Jobs:
    """Jobs: batch predictions, backfills. A key sees its own jobs; with the scope ``monitoring``, all."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def submit(
        self,
        model: str,
        *,
        input: JobInput,  # noqa: A002 - the name of the API's field
        output: str,
        input_format: InputFormat | None = None,
        output_format: OutputFormat | None = None,
        version: str | None = None,
        max_failed_fraction: float | None = None,
        allow_empty: bool = False,
        idempotency_key: str | None = None,
    ) -> PredictJob:
        """Start a job and return at once.

        Args:
            model: the model.
            input: ``s3://bucket/key`` of a CSV, JSONL or Parquet file of entities; or such a file on this
                disk, or a table, which are sent to the stack first.
            output: ``s3://bucket/folder/`` under which the job writes.
            input_format: when the extension of the input does not say.
            output_format: ``jsonl`` when not given.
            version: pins a version.
            max_failed_fraction: it fails when more than this share of its rows failed; 0.01 if not given.
            allow_empty: an input without rows is no failure.
            idempotency_key: submitted again with the same one, it stays one job; a new one when not given.

        Raises:
            Invalid: a location or another field is wrong.
            NotFound: there is no such model or version.
        """
        body = {
            "input": address_of(self._transport, input, input_format),
            "output": output,
            "input_format": input_format,
            "output_format": output_format,
            "version": version,
            "max_failed_fraction": max_failed_fraction,
            "allow_empty": allow_empty or None,
        }
        given = {name: value for name, value in body.items() if value is not None}
        call = Call.once(
            "POST", path("/predict/{}/batch", model), body=given, idempotency_key=idempotency_key
        )
        return self._transport.fetch(PredictJob, call)

    def get(self, job_id: str) -> AnyJob:
        """One job with its progress, in the class of its kind.

        Raises:
            NotFound: there is none of this id among the key's jobs.
        """
        return job_of(self._transport.send(Call.of("GET", path("/jobs/{}", job_id))))

    def list(self, *, page_size: int = 50) -> Iterator[AnyJob]:
        """All jobs of every kind, the newest first."""
        return self._transport.pages("/jobs", "jobs", job_of, {"limit": page_size})

    @overload
    def wait(
        self,
        job: J,
        *,
        timeout: float | None = None,
        poll_seconds: float = 5.0,
        progress: Progress = False,
    ) -> J: ...

    @overload
    def wait(
        self,
        job: str,
        *,
        timeout: float | None = None,
        poll_seconds: float = 5.0,
        progress: Progress = False,
    ) -> AnyJob: ...

    def wait(
        self,
        job: AnyJob | str,
        *,
        timeout: float | None = None,
        poll_seconds: float = 5.0,
        progress: Progress = False,
    ) -> AnyJob:
        """Wait until a job is done.

        Args:
            job: the job, or its id.
            timeout: seconds to wait at most; no limit when not given.
            poll_seconds: the longest pause between two looks at it.
            progress: see `neuralstream_client.progress.Progress`; counts chunks of the input.

        Raises:
            JobFailed: it ended as FAILED.
            WaitTimeout: it is not done in time; it goes on.
        """
        job_id = job if isinstance(job, str) else job.job_id
        pauses = Pauses(job_id, timeout, poll_seconds)
        with reporting(progress, f"job {job_id}") as advance:
            while True:
                record = self.get(job_id)
                if record.progress.chunks:
                    advance(record.progress.chunks_done, record.progress.chunks)
                if record.status in DONE:
                    break
                time.sleep(pauses.next(record.status))
        if record.status == "FAILED":
            raise JobFailed(record)
        return record

    def run(
        self,
        model: str,
        *,
        input: JobInput,  # noqa: A002 - the name of the API's field
        output: str,
        input_format: InputFormat | None = None,
        output_format: OutputFormat | None = None,
        version: str | None = None,
        max_failed_fraction: float | None = None,
        allow_empty: bool = False,
        idempotency_key: str | None = None,
        timeout: float | None = None,
        poll_seconds: float = 5.0,
        progress: Progress = False,
    ) -> PredictJob:
        """Start a job and wait until it is done; arguments and errors are those of `submit` and `wait`."""
        job = self.submit(
            model,
            input=input,
            output=output,
            input_format=input_format,
            output_format=output_format,
            version=version,
            max_failed_fraction=max_failed_fraction,
            allow_empty=allow_empty,
            idempotency_key=idempotency_key,
        )
        return self.wait(job, timeout=timeout, poll_seconds=poll_seconds, progress=progress)
