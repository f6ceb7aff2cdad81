"""What changed in the event sources between two looks, in sentences for the person at the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["SourceNews"]

_SILENT_LOOKS: Final = 3
"""Looks in a row without an answer that count as silence; a single one may be a busy machine."""


class SourceNews:
    """Remembers what was told, so that a lasting failure is told once, and its end too."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[bool, int]] = {}
        self._silent = 0

    def forget(self) -> None:
        """The worker is another one: its sources begin anew."""
        self._told.clear()
        self._silent = 0

    def of(self, reports: Sequence[Mapping[str, Any]] | None) -> list[str]:
        """Sentences for ``reports`` (`neuralstream_local.pumps.Source.report`); ``None``: no answer."""
        if reports is None:
            self._silent += 1
            return ["the worker does not answer"] if self._silent == _SILENT_LOOKS else []
        said = ["the worker answers again"] if self._silent >= _SILENT_LOOKS else []
        self._silent = 0
        for report in reports:
            name, ok, failures = report["name"], report["ok"], report["failures"]
            was_ok, known = self._told.get(name, (True, 0))
            if was_ok and failures > known:
                said.append(f"{name} failed and was started again: {report['error']}")
                ok = False
            elif was_ok and not ok:
                said.append(f"{name} stands still: {report['error']}")
            elif ok and not was_ok:
                said.append(f"{name} is well again")
            self._told[name] = ok, failures
        return said
