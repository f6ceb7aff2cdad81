"""``neuralstream training-sets``: labels joined to the features of their time."""

from __future__ import annotations

from typing import Annotated

import typer

from neuralstream_client import NeuralStream
from neuralstream_client._sync.training import Mode
from neuralstream_client.answers import TrainingSet
from neuralstream_client.command.output import notes, table
from neuralstream_client.command.running import Shown, command
from neuralstream_client.errors import DataError

__all__ = ["app"]

app = typer.Typer(
    name="training-sets", help="Labels joined to the features of their time.", no_args_is_help=True
)


@command(app, "create")
def _create(
    ns: NeuralStream,
    labels: Annotated[str, typer.Argument(help="A CSV or Parquet file, or its s3://bucket/key.")],
    features: Annotated[str, typer.Option(help="view:feature, service:name@n; with commas.")],
    timestamp: Annotated[str, typer.Option(help="The column of each label's time.")],
    entity: Annotated[
        list[str] | None, typer.Option(help="key=column; of the same name otherwise.")
    ] = None,
    mode: Annotated[
        Mode, typer.Option(help="as_known leaves out what was written later.")
    ] = "as_of",
    output: Annotated[str | None, typer.Option(help="s3://bucket/folder/ for the result.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")] = False,
) -> Shown:
    """Make a training set and wait for it; exit with 1 if it fails."""
    made = ns.training_sets.create(
        labels,
        features=[name.strip() for name in features.split(",")],
        timestamp=timestamp,
        entity=dict(_pair(text) for text in entity or ()),
        mode=mode,
        output=output,
    )
    if not detach:
        notes().print(f"{made.training_set_id} started; it goes on if this is interrupted")
        made = ns.training_sets.wait(made)
    return _one(made)


@command(app, "show")
def _show(ns: NeuralStream, training_set_id: Annotated[str, typer.Argument()]) -> Shown:
    """One training set: counts, coverage, digest."""
    return _one(ns.training_sets.get(training_set_id))


def _pair(text: str) -> tuple[str, str]:
    key, found, column = text.partition("=")
    if not found:
        raise DataError(f"--entity {text}: write key=column")
    return key, column


def _one(made: TrainingSet) -> Shown:
    parts = [f"{made.training_set_id} is {made.status}"]
    if made.failure is not None:
        parts.append(f"{made.failure.code}: {made.failure.detail}")
    if made.result is None:
        return Shown(made, parts)
    parts += [
        f"{made.result.rows} rows in {made.result.output}",
        f"SHA-256 {made.result.sha256}",
    ]
    coverage = made.result.coverage
    rows = [
        [name, coverage[name].present, f"{coverage[name].share:.1%}"]
        for name in made.result.columns
        if name in coverage
    ]
    columns = ("feature", "present", "share")
    return Shown(made, [*parts, table(columns, rows, right=("present", "share"))])
