"""``neuralstream views``: feature views as a file declares them, and rows."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from neuralstream_client import FeatureView, NeuralStream
from neuralstream_client._sync.jobs import InputFormat
from neuralstream_client.command.differences import ViewDifference, differences
from neuralstream_client.command.jobs import waited
from neuralstream_client.command.output import moment, table
from neuralstream_client.command.running import DIFFERENT, FAILED, Shown, command
from neuralstream_client.views import views_of

__all__ = ["app"]

app = typer.Typer(name="views", help="Feature views and their rows.", no_args_is_help=True)

Declared = Annotated[Path, typer.Argument(help="YAML or JSON file of a view, or of `views: […]`.")]


@command(app, "plan")
def _plan(ns: NeuralStream, file: Declared = Path("views.yaml")) -> Shown:
    """Show how the declared views differ from the stack's; exit with 2 if they do."""
    found = differences(ns, views_of(file))
    actions = {one.action for one in found}
    status = FAILED if "refused" in actions else DIFFERENT if actions - {"same"} else 0
    closing = {
        0: "nothing is to be done",
        DIFFERENT: f"`neuralstream views apply {file}` does this",
        FAILED: "the stack refuses this; add a feature or a view under a new name",
    }
    return Shown({"views": found}, [*_lines(found), closing[status]], status)


@command(app, "apply")
def _apply(ns: NeuralStream, file: Declared = Path("views.yaml")) -> Shown:
    """Create the declared views or add to them; nothing is done if one would be refused."""
    declared = views_of(file)
    found = differences(ns, declared)
    if any(one.action == "refused" for one in found):
        return Shown({"views": found}, [*_lines(found), "nothing was done"], FAILED)
    wanted = {one.view for one in found if one.action != "same"}
    ns.features.apply([view for view in declared if view.name in wanted])
    done = f"{len(wanted)} of {len(found)} views applied" if wanted else "nothing was to be done"
    return Shown({"views": found}, [*_lines(found), done])


@command(app, "list")
def _list(
    ns: NeuralStream,
    prefix: Annotated[str, typer.Option(help="Only those whose names begin with this.")] = "",
) -> Shown:
    """All feature views by name."""
    views = list(ns.features.list(prefix=prefix))
    rows = (
        [
            view.name,
            _keys(view.entity),
            len(view.features),
            view.ttl_seconds,
            moment(view.updated_at),
        ]
        for view in views
    )
    columns = ("view", "entity", "features", "ttl s", "updated")
    return Shown({"views": views}, [table(columns, rows, right=("features", "ttl s"))])


@command(app, "describe")
def _describe(ns: NeuralStream, view: Annotated[str, typer.Argument()]) -> Shown:
    """One feature view and its features."""
    found = ns.features.get(view)
    facts = [f"{found.name}: entity {_keys(found.entity)}, schema version {found.schema_version}"]
    if not found.history:
        facts.append("writes are not kept in the history")
    elif not found.history_complete:
        facts.append(f"not all rows are in its history: neuralstream views adopt {found.name}")
    facts += [found.description] if found.description else []
    rows = (
        [one.name, f"{one.dtype}{one.shape or ''}", one.default, one.description]
        for one in FeatureView.of(found).features
    )
    return Shown(found, [*facts, table(("feature", "dtype", "default", "description"), rows)])


@command(app, "read")
def _read(
    ns: NeuralStream,
    view: Annotated[str, typer.Argument()],
    entity_ids: Annotated[list[str], typer.Argument(help="Of a composite entity: a,b for each.")],
    feature: Annotated[
        list[str] | None, typer.Option("--feature", "-f", help="Only these; may be repeated.")
    ] = None,
) -> Shown:
    """Features of entities; an unknown entity has the status NOT_FOUND."""
    keys = ns.features.get(view).entity
    ids: list[Any] = [one if isinstance(keys, str) else one.split(",") for one in entity_ids]
    read = ns.features.read(ids, feature, view=view, event_timestamps=True)
    rows = [
        {
            "entity_id": ids[row],
            "features": {name: values[row] for name, values in read.columns.items()},
            "status": {name: cells[row] for name, cells in read.status.items() if row in cells},
            "event_timestamp": read.event_timestamps[view][row],
        }
        for row in range(len(ids))
    ]
    cells = (
        [given, name, value, row["status"].get(name, "PRESENT")]
        for given, row in zip(entity_ids, rows, strict=True)
        for name, value in row["features"].items()
    )
    return Shown(
        {"view": view, "rows": rows}, [table(("entity", "feature", "value", "status"), cells)]
    )


@command(app, "history")
def _history(
    ns: NeuralStream,
    view: Annotated[str, typer.Argument()],
    entity: Annotated[list[str], typer.Argument(help="Its id, or its parts in key order.")],
    feature: Annotated[
        str | None, typer.Option("--feature", "-f", help="Only writes that name it.")
    ] = None,
    start: Annotated[
        datetime | None, typer.Option(help="Only event times from then on, UTC.")
    ] = None,
    end: Annotated[datetime | None, typer.Option(help="Only event times before it, UTC.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows at most.")] = 100,
) -> Shown:
    """What was written of an entity, newest event time first."""
    found = ns.features.history(
        view,
        entity[0] if len(entity) == 1 else entity,
        feature=feature,
        start=start and start.replace(tzinfo=UTC),
        end=end and end.replace(tzinfo=UTC),
        page_size=min(limit, 1000),
    )
    rows = list(islice(found, limit))
    cells = (
        [_exact(row.event_timestamp), name, value, _exact(row.written_at), row.source]
        for row in rows
        for name, value in row.features.items()
    )
    columns = ("event time", "feature", "value", "written", "by")
    return Shown({"view": view, "rows": rows}, [table(columns, cells)])


@command(app, "forget")
def _forget(
    ns: NeuralStream,
    view: Annotated[str, typer.Argument()],
    entity: Annotated[list[str], typer.Argument(help="Its id, or its parts in key order.")],
) -> Shown:
    """Forget an entity: online at once, in the history with its next compaction."""
    answer = ns.features.forget(view, entity[0] if len(entity) == 1 else entity)
    said = "forgotten" if answer.found else "had no values online; its history is forgotten"
    return Shown(answer, [f"{', '.join(entity)} of {view}: {said}"])


@command(app, "rebuild")
def _rebuild(
    ns: NeuralStream,
    view: Annotated[str, typer.Argument()],
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")] = False,
) -> Shown:
    """Fill the online store from the history; exit with 1 if the job fails."""
    return waited(ns, ns.features.rebuild(view), detach=detach)


@command(app, "adopt")
def _adopt(
    ns: NeuralStream,
    view: Annotated[str, typer.Argument()],
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")] = False,
) -> Shown:
    """Take what is online into the history; exit with 1 if the job fails."""
    return waited(ns, ns.features.adopt(view), detach=detach)


@command(app, "backfill")
def _backfill(
    ns: NeuralStream,
    view: Annotated[str, typer.Argument()],
    input: Annotated[str, typer.Argument(help="File of rows, or its s3://bucket/key.")],  # noqa: A002 - as in the API
    timestamp: Annotated[str, typer.Option(help="Column of the event times.")],
    entity: Annotated[
        list[str] | None,
        typer.Option(help="Column of the entity id, or key=column of each entity key."),
    ] = None,
    feature: Annotated[
        list[str] | None, typer.Option(help="feature=column; all of their names if left out.")
    ] = None,
    input_format: Annotated[InputFormat | None, typer.Option()] = None,
    timezone: Annotated[str | None, typer.Option(help="Of times without a zone.")] = None,
    skip_empty: Annotated[
        bool, typer.Option("--skip-empty", help="An empty cell leaves the feature as it is.")
    ] = False,
    max_failed_fraction: Annotated[
        float | None, typer.Option(help="It fails when more of its rows are wrong.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")] = False,
) -> Shown:
    """Write a file's rows to a view and its history; exit with 1 if the job fails."""
    job = ns.features.backfill(
        view,
        input=input,
        timestamp=timestamp,
        entity=_entity(entity),
        features=None if feature is None else _pairs(feature),
        input_format=input_format,
        timezone=timezone,
        empty="skip" if skip_empty else "null",
        max_failed_fraction=max_failed_fraction,
    )
    return waited(ns, job, detach=detach)


def _entity(given: list[str] | None) -> str | dict[str, str] | None:
    if given and len(given) == 1 and "=" not in given[0]:
        return given[0]
    return _pairs(given) if given else None


def _pairs(given: list[str]) -> dict[str, str]:
    """Raises:
    BadParameter: one is not ``name=column``.
    """
    pairs = [each.partition("=") for each in given]
    for name, _, column in pairs:
        if not name or not column:
            raise typer.BadParameter("must look like name=column")
    return {name: column for name, _, column in pairs}


def _exact(at: datetime) -> str:
    return at.isoformat(" ").replace("+00:00", "Z")


def _keys(entity: str | list[str]) -> str:
    return entity if isinstance(entity, str) else ", ".join(entity)


def _lines(found: list[ViewDifference]) -> list[Any]:
    rows = ([one.view, one.action, "\n".join(one.changes)] for one in found)
    return [table(("view", "action", "changes"), rows)]
