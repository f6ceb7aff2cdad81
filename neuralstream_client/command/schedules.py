"""``neuralstream schedules``: batch predictions that start at given times."""

from __future__ import annotations

from typing import Annotated

import typer

from neuralstream_client import NeuralStream
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


@command(app, "show")
def _show(ns: NeuralStream, name: Name) -> Shown:
    """One schedule and its last runs."""
    one = ns.schedules.get(name)
    sentence = f"{one.name}: {one.model}, {one.expression} {one.timezone}, {_state(one)}"
    rows = ([moment(run.scheduled_time), run.status, run.job_id] for run in one.runs)
    return Shown(one, [sentence, table(("run", "status", "job"), rows)])


@command(app, "delete")
def _delete(ns: NeuralStream, name: Name) -> Shown:
    """Delete a schedule; jobs that it started go on."""
    deleted = ns.schedules.delete(name)
    return Shown(deleted, [f"{deleted.name} is {deleted.status}"])


def _state(schedule: ScheduleAnswer) -> str:
    return schedule.state if schedule.enabled else "disabled"


def _next(schedule: ScheduleAnswer) -> str | None:
    return moment(schedule.next_run.scheduled_time) if schedule.next_run else None
