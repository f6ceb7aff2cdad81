"""``neuralstream jobs``: batch predictions from files to files."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from neuralstream_client import NeuralStream
from neuralstream_client._sync.jobs import InputFormat, OutputFormat
from neuralstream_client.answers import PredictJob
from neuralstream_client.command.output import bar, moment, notes, table
from neuralstream_client.command.running import Shown, command

__all__ = ["app"]

app = typer.Typer(name="jobs", help="Batch predictions from files to files.", no_args_is_help=True)


@command(app, "run")
def _run(
    ns: NeuralStream,
    model: Annotated[str, typer.Argument()],
    input: Annotated[str, typer.Option(help="s3://bucket/key of entities.")],  # noqa: A002 - the option's name
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
    if not detach:
        notes().print(f"{job.job_id} started; it goes on if this is interrupted")
        with bar(job.job_id) as progress:
            job = ns.jobs.wait(job, progress=progress)
    return _one(job)


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
            one.model,
            one.status,
            one.progress.rows,
            one.progress.failed,
            moment(one.created_at),
        ]
        for one in jobs
    )
    columns = ("job", "kind", "model", "status", "rows", "failed", "created")
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
        return _one(ns.jobs.wait(job_id, timeout=timeout, progress=progress))


def _one(job: PredictJob) -> Shown:
    lines = [
        f"{job.job_id} is {job.status}: {job.progress.rows} rows, {job.progress.failed} failed"
    ]
    if job.outcome is not None:
        lines.append(f"results below {job.output}")
    return Shown(job, lines)
