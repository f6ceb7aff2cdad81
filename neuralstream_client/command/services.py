"""``neuralstream services``: feature services."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuralstream_client import NeuralStream
from neuralstream_client.answers import ServiceAnswer
from neuralstream_client.command.output import moment, table
from neuralstream_client.command.running import Shown, command

__all__ = ["app"]

app = typer.Typer(
    name="services", help="Versioned lists of features that models share.", no_args_is_help=True
)

Declared = Annotated[
    Path, typer.Argument(help="YAML or JSON file of a service, or of `services: […]`.")
]


@command(app, "list")
def _list(ns: NeuralStream) -> Shown:
    """All feature services at their newest versions."""
    found = list(ns.services.list())
    rows = (
        [one.name, one.version, len(one.features), moment(one.created_at), one.description]
        for one in found
    )
    columns = ("service", "version", "features", "created", "description")
    return Shown({"services": found}, [table(columns, rows, right=("version", "features"))])


@command(app, "show")
def _show(
    ns: NeuralStream,
    service: Annotated[str, typer.Argument()],
    version: Annotated[int | None, typer.Option(min=1, help="The newest one unless given.")] = None,
) -> Shown:
    """The features of a service, in order."""
    found = ns.services.get(service, version)
    facts = [_sentence(found)]
    facts += [found.description] if found.description else []
    return Shown(found, [*facts, *found.features])


@command(app, "apply")
def _apply(ns: NeuralStream, file: Declared = Path("services.yaml")) -> Shown:
    """Create the declared services, or the next versions of those whose lists changed."""
    made = ns.services.apply(file)
    return Shown({"services": made}, [_sentence(one) for one in made])


@command(app, "delete")
def _delete(ns: NeuralStream, service: Annotated[str, typer.Argument()]) -> Shown:
    """Delete a service; models that were registered with it keep their features."""
    deleted = ns.services.delete(service)
    return Shown(deleted, [f"{deleted.name} is deleted"])


def _sentence(one: ServiceAnswer) -> str:
    return f"service:{one.name}@{one.version}: {len(one.features)} features"
