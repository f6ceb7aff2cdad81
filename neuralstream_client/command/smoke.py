"""``neuralstream smoke``: the README's flow against any stack."""

from __future__ import annotations

from typing import Annotated

import typer

from neuralstream_client import NeuralStream
from neuralstream_client.command.flow import Flow, Step
from neuralstream_client.command.output import notes, table
from neuralstream_client.command.running import FAILED, UNREACHABLE, Shown, command

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "smoke")(_smoke)


def _smoke(
    ns: NeuralStream,
    model: Annotated[
        str | None, typer.Option(help="Name of the model, which stays; a new one by default.")
    ] = None,
) -> Shown:
    """Write, read, register, promote, predict and report under a name of its own, then clean up.

    Exits with 1 if a step fails, with 3 if no answer comes. A model has no deletion: it stays, with one
    version that reads no view.
    """
    flow = Flow(ns, model=model)
    steps = flow.run(_tell)
    failed = [step for step in steps if step.status == "failed"]
    seconds = sum(step.milliseconds for step in steps) / 1000
    rows = ([one.name, one.status, f"{one.milliseconds:.0f}", one.found] for one in steps)
    closing = f"{failed[0].name} failed" if failed else f"the stack is well: {seconds:.1f} s"
    return Shown(
        {
            "view": flow.view,
            "model": flow.model,
            "passed": not failed,
            "seconds": seconds,
            "steps": steps,
        },
        [table(("step", "status", "ms", "found"), rows, right=("ms",)), closing],
        _status(failed),
    )


def _tell(step: Step) -> None:
    """Each step as it ends, for a person who waits; the result has all of them."""
    if (out := notes()).is_terminal:
        out.print(f"{step.name}: {step.status}", style="dim")


def _status(failed: list[Step]) -> int:
    if not failed:
        return 0
    return UNREACHABLE if failed[0].unreachable else FAILED
