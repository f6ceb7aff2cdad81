"""``neuralstream outcomes`` and ``neuralstream performance``: what became of predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from neuralstream_client import NeuralStream
from neuralstream_client._sync.monitoring import PerformanceWindow
from neuralstream_client.answers import Measured, Performance, SplitResults
from neuralstream_client.command.output import bar, moment, notes, share, table
from neuralstream_client.command.running import FAILED, Shown, command
from neuralstream_client.command.words import named

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["add_to", "app", "results_shown"]

app = typer.Typer(name="outcomes", help="What became of predictions.", no_args_is_help=True)


def add_to(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.add_typer(app)
    command(parent, "performance")(_performance)


@command(app, "send")
def _send(
    ns: NeuralStream,
    model: Annotated[str, typer.Argument(help="That predicted.")],
    file: Annotated[
        str, typer.Argument(help="A CSV, JSON lines or Parquet file, or its s3://bucket/key.")
    ],
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="WHAT=COLUMN where they differ; prediction_id, or entity_id and predicted_at; label,"
            " observed_at."
        ),
    ] = None,
    timezone: Annotated[str | None, typer.Option(help="Of times without a zone.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")] = False,
) -> Shown:
    """Send a file of outcomes and wait until it is taken in; exit with 1 if the job fails."""
    job = ns.outcomes.submit(file, model=model, columns=named(column) or None, timezone=timezone)
    if not detach:
        notes().print(f"{job.job_id} started; it goes on if this is interrupted")
        with bar(f"outcomes of {model}") as progress:
            job = ns.jobs.wait(job, progress=progress)
    parts = [f"{job.job_id} is {job.status}"]
    if job.failure is not None:
        parts.append(f"{job.failure.code}: {job.failure.detail}")
    if job.outcome is not None:
        found = job.outcome
        parts.append(
            f"{found.accepted:,} of {found.rows:,} outcomes are kept, {found.failed:,} refused"
        )
        parts += [f"refused rows: {uri}" for uri in found.errors]
    return Shown(job, parts, FAILED if job.status == "FAILED" else 0)


def _performance(
    ns: NeuralStream,
    model: Annotated[str, typer.Argument()],
    version: Annotated[str | None, typer.Option(help="All when not given.")] = None,
    window: Annotated[PerformanceWindow, typer.Option(help="Up to now.")] = "7d",
    slices: Annotated[
        str | None, typer.Option(help="A feature, view:feature, by whose values it is told too.")
    ] = None,
) -> Shown:
    """How good predictions were, as far as outcomes tell: a sentence for each version, then the numbers."""
    found = ns.monitoring.performance(model, version, window=window, slices=slices)
    parts = [one.sentence for one in found.versions]
    if not found.versions:
        parts.append(f"{model} has no logged predictions in the last {window}.")
    if found.unmatched:
        parts.append(f"{found.unmatched:,} outcomes belong to no prediction in the log.")
    return Shown(found, [*parts, *([_numbers(found)] if found.versions else []), *_slices(found)])


def _numbers(found: Performance) -> Table:
    rows = [
        [one.version, name, _value(measured.value), _interval(measured), measured.n]
        for one in found.versions
        for name, measured in one.metrics.items()
    ]
    columns = ("version", "measure", "value", "95 % interval", "outcomes")
    return table(columns, rows, right=("value", "outcomes"))


def _slices(found: Performance) -> list[Table]:
    rows = [
        [
            one.version,
            each.values,
            _value(each.measured.value),
            each.n,
            share(each.share),
            "worse" if each.worse else None,
        ]
        for one in found.versions
        for each in one.slices
    ]
    columns = ("version", "values", "value", "outcomes", "share", "")
    return [table(columns, rows, right=("value", "outcomes", "share"))] if rows else []


def results_shown(found: SplitResults) -> Shown:
    """The results of a split: the verdict, the versions, the comparisons."""
    versions = [
        [one.version, share(one.share), f"{one.predictions:,.0f}", share(one.coverage), one.n]
        for one in found.versions
    ]
    compared = [
        [
            one.version,
            one.metric,
            _value(one.value),
            None if one.low is None or one.high is None else f"{one.low:.3g} to {one.high:.3g}",
            {True: "better", False: "worse", None: None}[one.better],
            moment(one.ready_at),
        ]
        for one in found.comparisons
    ]
    columns = ("version", "traffic", "predictions", "coverage", "outcomes")
    parts = [table(columns, versions, right=columns[1:])]
    if compared:
        headings = ("version", "measure", "difference", "at any look", "", "ready")
        parts.append(table(headings, compared, right=("difference",)))
    return Shown(found, [found.verdict, *parts])


def _value(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"


def _interval(measured: Measured) -> str | None:
    if measured.low is None or measured.high is None:
        return None
    return f"{measured.low:.4g} to {measured.high:.4g}"
