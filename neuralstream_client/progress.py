"""Progress of long work: a bar in the terminal, or a function of the caller's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from neuralstream_client.extras import extra

__all__ = ["Advance", "Progress", "reporting"]

Progress: TypeAlias = bool | Callable[[int, int], None]
"""``True`` shows a bar (needs rich); a function is called with what is done and the total."""

Advance: TypeAlias = Callable[[int, int], None]


@contextmanager
def reporting(progress: Progress, what: str) -> Iterator[Advance]:
    """A function to be called with what is done and the total.

    Args:
        progress: see `Progress`.
        what: stands before the bar.

    Raises:
        ConfigurationError: a bar is asked for and rich is not installed.
    """
    if callable(progress):
        yield progress
    elif progress:
        extra("rich", "command")
        from rich.progress import Progress as Bars

        with Bars(transient=False) as bars:
            bar = bars.add_task(what, total=None)
            yield lambda done, total: bars.update(bar, completed=done, total=total)
    else:
        yield lambda _done, _total: None
