"""Which route a request takes: API Gateway's rules for HTTP APIs.

A literal segment beats ``{name}``, which beats ``{name+}`` (one or more segments); a request that
matches no route, or a route's path with another method, is a 404. Segments are split before they are
percent-decoded, so an encoded slash stays inside its segment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import unquote

__all__ = ["Router"]

T = TypeVar("T")


@dataclass(slots=True)
class _Node(Generic[T]):
    literals: dict[str, _Node[T]] = field(default_factory=dict)
    variable: _Node[T] | None = None
    leaves: dict[str, tuple[T, str]] = field(default_factory=dict)
    """Method → target and its template."""
    greedy: dict[str, tuple[T, str]] = field(default_factory=dict)


class Router(Generic[T]):
    """Routes by method and path template."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, method: str, template: str, target: T) -> None:
        """Declare a route such as ``GET /features/{feature_view}/{entity_id+}``."""
        node = self._root
        for segment in template.strip("/").split("/"):
            if segment.endswith("+}"):
                node.greedy[method] = (target, template)
                return
            if segment.startswith("{"):
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.literals.setdefault(segment, _Node())
        node.leaves[method] = (target, template)

    def match(self, method: str, path: str) -> tuple[T, dict[str, str]] | None:
        """The target of the most specific route and its decoded path parameters."""
        segments = path.split("/")[1:]
        found = self._find(self._root, method, segments, 0)
        if found is None:
            return None
        target, template = found
        return target, _parameters(template, segments)

    def _find(
        self, node: _Node[T], method: str, segments: list[str], at: int
    ) -> tuple[T, str] | None:
        if at == len(segments):
            return node.leaves.get(method) or node.leaves.get("ANY")
        segment = segments[at]
        for child in (node.literals.get(segment), node.variable if segment else None):
            if child is not None and (found := self._find(child, method, segments, at + 1)):
                return found
        if segment or at + 1 < len(segments):
            return node.greedy.get(method) or node.greedy.get("ANY")
        return None


def _parameters(template: str, segments: list[str]) -> dict[str, str]:
    parameters = {}
    for at, part in enumerate(template.strip("/").split("/")):
        if part.endswith("+}"):
            parameters[part[1:-2]] = unquote("/".join(segments[at:]))
        elif part.startswith("{"):
            parameters[part[1:-1]] = unquote(segments[at])
    return parameters
