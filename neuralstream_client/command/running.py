"""What every command has: the options of the stack, ``--json``, and how errors become exit statuses."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, get_type_hints

import typer
from pydantic import ValidationError

from neuralstream_client import NeuralStream
from neuralstream_client.command.cures import in_command
from neuralstream_client.command.output import notes, printed, write_json
from neuralstream_client.errors import (
    ConfigurationError,
    ConnectionFailed,
    DataError,
    NeuralStreamError,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["DIFFERENT", "FAILED", "UNREACHABLE", "Shown", "command"]

FAILED: Final = 1
"""The stack refused, or what was asked for failed."""
DIFFERENT: Final = 2
"""The command was used wrongly, or there is a difference."""
UNREACHABLE: Final = 3
"""No answer came."""

TRACEBACK: Final = "NEURALSTREAM_TRACEBACK"
"""If this variable is set, an unexpected error is shown with its traceback."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a command found.

    Args:
        data: printed with ``--json``; models of pydantic, lists and dicts of them.
        parts: printed otherwise: texts and renderables of rich.
        status: exit status.
    """

    data: Any
    parts: Sequence[RenderableType]
    status: int = 0


_STACK: Final = {
    "url": Annotated[
        str | None,
        typer.Option(
            "--url", help="Address of the stack; default: NEURALSTREAM_URL.", show_default=False
        ),
    ],
    "api_key": Annotated[
        str | None,
        typer.Option("--api-key", help="Default: NEURALSTREAM_API_KEY.", show_default=False),
    ],
    "as_json": Annotated[
        bool, typer.Option("--json", help="Print one JSON document and nothing else.")
    ],
}


def command(app: typer.Typer, name: str) -> Callable[[Callable[..., Shown]], Callable[..., Shown]]:
    """Register a function ``(ns, …) → Shown`` as a command with ``--url``, ``--api-key`` and ``--json``.

    Its first parameter is the client; typer gives the others. A client of httpx as the context's object is
    used instead of a new one.
    """

    def register(function: Callable[..., Shown]) -> Callable[..., Shown]:
        hints = get_type_hints(function, include_extras=True)
        own = [
            _typed(parameter, hints)
            for parameter in list(inspect.signature(function).parameters.values())[1:]
        ]
        added = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
            for (key, hint), default in zip(_STACK.items(), (None, None, False), strict=True)
        ]
        context = inspect.Parameter(
            "context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context
        )

        @functools.wraps(function)
        def run(
            *,
            context: typer.Context,
            url: str | None,
            api_key: str | None,
            as_json: bool,
            **arguments: Any,
        ) -> None:
            status = _carried_out(function, arguments, url, api_key, as_json, context)
            raise typer.Exit(status)

        signature = inspect.Signature(
            [
                *(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own),
                *added,
                context,
            ]
        )
        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
        app.command(name)(run)
        return function

    return register


def _typed(parameter: inspect.Parameter, hints: dict[str, Any]) -> inspect.Parameter:
    """The parameter with its evaluated annotation."""
    return parameter.replace(annotation=hints[parameter.name])


def _carried_out(
    function: Callable[..., Shown],
    arguments: dict[str, Any],
    url: str | None,
    api_key: str | None,
    as_json: bool,
    context: typer.Context,
) -> int:
    """Exit status of a command, whose result or error is printed."""
    key = api_key or os.environ.get("NEURALSTREAM_API_KEY")
    try:
        with NeuralStream(url, api_key, http=context.obj) as ns:
            shown = function(ns, **arguments)
        if as_json:
            write_json(shown.data)
        else:
            printed(shown.parts)
    except NeuralStreamError as error:
        text = in_command(str(error))
        if isinstance(error, ConnectionFailed):
            text += "\nWhat to do: check the address; `neuralstream up` starts the laptop's stack."
        elif "\nWhat to do: " not in text:
            text += (
                f"\nWhat to do: correct that; `{context.command_path} --help` says what is taken."
            )
        _complain(text, key)
        return _status(error)
    except ValidationError as error:
        _complain(
            f"the answer is not one of NeuralStream ({error.error_count()} fields differ).\n"
            "What to do: check the address, and whether this client is as new as the stack.",
            key,
        )
        return FAILED
    except BrokenPipeError:
        # The reader of the pipe has seen enough; the interpreter would complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        _complain(
            f"unexpected {type(error).__name__}: {error}\n"
            f"What to do: run it again with {TRACEBACK}=1 and report what it prints.",
            key,
        )
        return FAILED
    return shown.status


def _status(error: NeuralStreamError) -> int:
    if isinstance(error, ConnectionFailed):
        return UNREACHABLE
    return DIFFERENT if isinstance(error, (ConfigurationError, DataError)) else FAILED


def _complain(text: str, key: str | None) -> None:
    """To standard error, without the API key whatever a server or library put into its message."""
    if key:
        text = text.replace(key, "(the API key)")
    first, _, rest = text.partition("\n")
    notes().print(f"error: {first}", style="red", soft_wrap=True)
    if rest:
        notes().print(rest, soft_wrap=True)
