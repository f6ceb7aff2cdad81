"""``neuralstream jobs``: jobs of every kind, and batch predictions from files to files."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from neuralstream_client import NeuralStream
from neuralstream_client._sync.jobs import InputFormat, OutputFormat
from neuralstream_client.answers import AdoptJob, BackfillJob, PredictJob, RebuildJob
from neuralstream_client.command.output import bar, moment, notes, table
from neuralstream_client.command.running import Shown, command
from neuralstream_client.jobs import AnyJob

__all__ = ["about", "app", "job_shown", "waited"]

app = typer.Typer(
    name="jobs",
    help="Jobs of every kind; batch predictions from files to files.",
    no_args_is_help=True,
)


@command(app, "run")
def _run(
    ns: NeuralStream,
    model: Annotated[str, typer.Argument()],
    input: Annotated[str, typer.Option(help="File of entities, or its s3://bucket/key.")],  # noqa: A002 - the option's name
    output: Annotated[str, typer.Option(help="s3://bucket/folder/ for the results.")],
    input_format: Annotated[InputFormat | None, typer.Option()] = None,
    output_format: Annotated[OutputFormat, typer.Option()] = "jsonl",
    version: Annotated[str | None, typer.Option(help="Pins a version.")] = None,
    max_failed_fraction: Annotated[
        float | None, typer.Option(help="It fails when more of its rows failed.")
    ] = None,
    allow_empty: Annotated[bool, typer.Option("--allow-empty")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")] = False,
) -> Shown:
    """Start a job and wait for its end; exit with 1 if it fails."""
    job = ns.jobs.submit(
        model,
        input=input,
        output=output,
        input_format=input_format,
        output_format=output_format,
        version=version,
        max_failed_fraction=max_failed_fraction,
        allow_empty=allow_empty,
    )
    return waited(ns, job, detach=detach)


@command(app, "list")
def _list(
    ns: NeuralStream,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
) -> Shown:
    """The newest jobs."""
    jobs = list(islice(ns.jobs.list(page_size=min(limit, 50)), limit))
    rows = (
        [
            one.job_id,
            one.kind,
            about(one),
            one.status,
            one.progress.rows,
            one.progress.failed,
            moment(one.created_at),
        ]
        for one in jobs
    )
    columns = ("job", "kind", "of", "status", "rows", "failed", "created")
    return Shown({"jobs": jobs}, [table(columns, rows, right=("rows", "failed"))])


@command(app, "watch")
def _watch(
    ns: NeuralStream,
    job_id: Annotated[str, typer.Argument()],
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Seconds; no limit by default.")
    ] = None,
) -> Shown:
    """Wait for a job's end; exit with 1 if it fails or is not done in time."""
    with bar(job_id) as progress:
        return job_shown(ns.jobs.wait(job_id, timeout=timeout, progress=progress))


def waited(ns: NeuralStream, job: AnyJob, *, detach: bool) -> Shown:
    """A job that was started, at its end unless detached."""
    if not detach:
        notes().print(f"{job.job_id} started; it goes on if this is interrupted")
        with bar(job.job_id) as progress:
            job = ns.jobs.wait(job, progress=progress)
    return job_shown(job)


def about(job: AnyJob) -> str:
    """The model or view that a job is about."""
    match job:
        case PredictJob():
            return job.model
        case BackfillJob() | RebuildJob() | AdoptJob():
            return job.feature_view
        case _:
            return ""


def job_shown(job: AnyJob) -> Shown:
    """A job and where its results are."""
    lines = [
        f"{job.job_id} is {job.status}: {job.progress.rows} rows, {job.progress.failed} failed"
    ]
    match job:
        case PredictJob(outcome=done) if done is not None:
            lines.append(f"results below {job.output}")
        case BackfillJob(outcome=done) if done is not None:
            lines.append(
                f"{done.written} written, {done.stale} stale, {done.history_only} in the history only"
            )
            lines += [f"wrong rows in {file}" for file in done.errors]
        case RebuildJob(outcome=done) if done is not None:
            lines.append(f"{done.rows} rows from files, {done.tail} from the log")
        case AdoptJob(outcome=done) if done is not None:
            lines.append(f"{done.rows} rows of {done.entities} entities are new in the history")
    return Shown(job, lines)
