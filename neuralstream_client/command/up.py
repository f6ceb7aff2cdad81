"""``neuralstream up``: the laptop stack of a checkout."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from neuralstream_client.command.output import notes

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("up")(_up)


def _up(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="8000 when not given.")] = None,
    example: Annotated[str | None, typer.Option(help="none: start without an example.")] = None,
    auth: Annotated[Literal["on", "off"] | None, typer.Option(help="on: ask for API keys.")] = None,
) -> NoReturn:
    """Start the laptop stack of the checkout in which this is called: `make run`."""
    folder = next(filter(_is_checkout, (Path.cwd(), *Path.cwd().parents)), None)
    if folder is None:
        _refuse(
            "this is no checkout of NeuralStream.", "clone the repository and call this inside it."
        )
    make = shutil.which("make")
    if make is None:
        _refuse("make is not installed.", "install make, then call this again.")
    given = {"PORT": port, "EXAMPLE": example, "AUTH": auth}
    words = [f"{name}={value}" for name, value in given.items() if value is not None]
    os.chdir(folder)
    sys.stderr.flush()
    os.execv(make, [make, "--no-print-directory", "run", *words])  # noqa: S606 - the program of this checkout, without a shell


def _is_checkout(folder: Path) -> bool:
    return all(
        (folder / name).exists() for name in ("Makefile", "template.yaml", "neuralstream_local")
    )


def _refuse(what: str, cure: str) -> NoReturn:
    notes().print(f"error: {what}", style="red")
    notes().print(f"What to do: {cure}")
    raise typer.Exit(2)
