"""What ``GET /health`` answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import Field

from neuralstream_core import __version__
from neuralstream_core.errors import Unavailable
from neuralstream_core.types import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Health", "health_of"]

State: TypeAlias = Literal["ok", "unavailable"]


class Health(Record):
    """Whether the parts answer that requests need."""

    status: Literal["ok", "degraded"] = Field(description="degraded: a part does not answer")
    checks: dict[str, State] = Field(description="by part: `redis`, `registry`, `history`")
    version: str = Field(description="release of the stack")


def health_of(checks: Mapping[str, Callable[[], object]]) -> Health:
    """What became of each check; one that raises `Unavailable` has failed."""
    found = {name: _state(check) for name, check in checks.items()}
    ok = all(state == "ok" for state in found.values())
    return Health(status="ok" if ok else "degraded", checks=found, version=__version__)


def _state(check: Callable[[], object]) -> State:
    try:
        check()
    except Unavailable:
        return "unavailable"
    return "ok"
