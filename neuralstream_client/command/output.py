"""Results on standard output, notes and progress on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from pydantic_core import to_json
from rich import box
from rich.console import Console, RenderableType
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from neuralstream_client.progress import Progress

__all__ = ["bar", "moment", "notes", "number", "printed", "share", "table", "write_json"]

_PIPED_WIDTH: Final = 200
"""Columns where the output is not a terminal and COLUMNS does not say."""

_STYLES: Final = {
    "production": "green",
    "ok": "green",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "REJECTED": "red",
    "drift": "red",
    "failed": "red",
    "refused": "red",
    "warning": "yellow",
    "create": "green",
    "change": "yellow",
}
"""Colours of words that are a whole cell."""


def notes() -> Console:
    """Standard error, for what is not the result."""
    return Console(stderr=True, markup=False, highlight=False, emoji=False)


def printed(parts: Iterable[RenderableType]) -> None:
    """Print the parts of a result on standard output."""
    out = Console(markup=False, highlight=False, emoji=False)
    if not out.is_terminal and "COLUMNS" not in os.environ:
        out = Console(markup=False, highlight=False, emoji=False, width=_PIPED_WIDTH)
    for part in parts:
        out.print(part)


def write_json(data: Any) -> None:
    """Print one JSON document on standard output; NaN and infinity are null."""
    sys.stdout.write(to_json(data, indent=2, inf_nan_mode="null").decode() + "\n")
    sys.stdout.flush()


@contextmanager
def bar(what: str) -> Iterator[Progress]:
    """The client's ``progress`` as a bar on standard error, if that is a terminal.

    Args:
        what: stands before the bar.
    """
    if not (out := notes()).is_terminal:
        yield False
        return
    with Bars(console=out, transient=True) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Sequence[str] = ()
) -> Table:
    """A table without borders.

    Args:
        columns: headings.
        rows: cells; ``None`` is shown as a dash.
        right: columns of numbers.
    """
    made = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        header_style="bold",
    )
    for index, name in enumerate(columns):
        made.add_column(
            name,
            justify="right" if name in right else "left",
            no_wrap=name in right,
            overflow="fold",
            min_width=min(8, len(name)) if index else 8,
        )
    for row in rows:
        made.add_row(*(_cell(value) for value in row))
    return made


def _cell(value: Any) -> Text:
    text = "–" if value is None or value == "" else str(value)
    return Text(text, style=_STYLES.get(text, ""))


def moment(value: datetime | str | None) -> str | None:
    """``2026-01-31 10:15Z``."""
    if value is None:
        return None
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return f"{at:%Y-%m-%d %H:%M}Z"


def number(value: float | None, digits: int = 3) -> str | None:
    """With so many digits after the point."""
    return None if value is None else f"{value:.{digits}f}"


def share(value: float | None) -> str | None:
    """In percent."""
    return None if value is None else f"{100 * value:.1f} %"
