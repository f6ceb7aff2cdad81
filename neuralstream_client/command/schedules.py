"""``neuralstream schedules``: batch predictions that start at given times."""

from __future__ import annotations

from typing import Annotated

import typer

from neuralstream_client import NeuralStream
from neuralstream_client._sync.jobs import InputFormat, OutputFormat
from neuralstream_client.answers import ScheduleAnswer
from neuralstream_client.command.output import moment, table
from neuralstream_client.command.running import Shown, command

__all__ = ["app"]

app = typer.Typer(
    name="schedules", help="Batch predictions that start at given times.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument()]


@command(app, "list")
def _list(ns: NeuralStream) -> Shown:
    """All schedules by name."""
    found = list(ns.schedules.list())
    rows = ([one.name, one.model, one.expression, _state(one), _next(one)] for one in found)
    columns = ("schedule", "model", "expression", "state", "next run")
    return Shown({"schedules": found}, [table(columns, rows)])


@command(app, "put")
def _put(
    ns: NeuralStream,
    name: Name,
    model: Annotated[str, typer.Option()],
    input: Annotated[  # noqa: A002 - the option's name
        str, typer.Option(help="s3://bucket/key; {yyyy} {mm} {dd} {HH} {MM} are the run's time.")
    ],
    output: Annotated[str, typer.Option(help="s3://bucket/folder/ for the results, as --input.")],
    expression: Annotated[
        str, typer.Option(help="'rate(1 day)', 'cron(0 3 * * ? *)' or 'at(2030-01-31T03:00:00)'.")
    ],
    timezone: Annotated[str | None, typer.Option(help="IANA name; UTC by default.")] = None,
    disabled: Annotated[
        bool, typer.Option("--disabled", help="Keep it, but start nothing.")
    ] = False,
    input_format: Annotated[InputFormat | None, typer.Option()] = None,
    output_format: Annotated[OutputFormat | None, typer.Option()] = None,
    version: Annotated[str | None, typer.Option(help="Pins a version.")] = None,
    max_failed_fraction: Annotated[
        float | None, typer.Option(help="A run fails when more of its rows failed.")
    ] = None,
    allow_empty: Annotated[bool, typer.Option("--allow-empty")] = False,
    description: Annotated[str | None, typer.Option(help="For people.")] = None,
    expected_revision: Annotated[
        int | None, typer.Option(min=0, help="Only if this is its revision; 0: if there is none.")
    ] = None,
) -> Shown:
    """Create a schedule, or replace it whole: what is not given has its default again."""
    one = ns.schedules.put(
        name,
        model=model,
        input=input,
        output=output,
        expression=expression,
        timezone=timezone,
        enabled=not disabled,
        input_format=input_format,
        output_format=output_format,
        version=version,
        max_failed_fraction=max_failed_fraction,
        allow_empty=allow_empty,
        description=description,
        expected_revision=expected_revision,
    )
    lines = [f"{_sentence(one)}, revision {one.revision}"]
    if one.next_run is not None:
        lines.append(f"next run {_next(one)} from {one.next_run.input}")
    return Shown(one, lines)


@command(app, "show")
def _show(ns: NeuralStream, name: Name) -> Shown:
    """One schedule and its last runs."""
    one = ns.schedules.get(name)
    rows = ([moment(run.scheduled_time), run.status, run.job_id] for run in one.runs)
    return Shown(one, [_sentence(one), table(("run", "status", "job"), rows)])


@command(app, "delete")
def _delete(ns: NeuralStream, name: Name) -> Shown:
    """Delete a schedule; jobs that it started go on."""
    deleted = ns.schedules.delete(name)
    return Shown(deleted, [f"{deleted.name} is {deleted.status}"])


def _sentence(one: ScheduleAnswer) -> str:
    return f"{one.name}: {one.model}, {one.expression} {one.timezone}, {_state(one)}"


def _state(schedule: ScheduleAnswer) -> str:
    return schedule.state if schedule.enabled else "disabled"


def _next(schedule: ScheduleAnswer) -> str | None:
    return moment(schedule.next_run.scheduled_time) if schedule.next_run else None
