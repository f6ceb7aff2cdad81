"""What a function's role allows, with the names of a running emulation in place of references."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from tests.support.template import as_list, statements

__all__ = ["Call", "Policy", "policy_of"]


@dataclass(frozen=True, slots=True)
class Call:
    """One authorised act: an IAM action on one resource."""

    action: str
    resource: str


@dataclass(frozen=True, slots=True)
class Policy:
    """``(action, resource pattern)`` pairs of the statements a function's own code uses."""

    pairs: frozenset[tuple[str, str]]

    def allows(self, call: Call) -> bool:
        return any(
            action == call.action and fnmatchcase(call.resource, pattern)
            for action, pattern in self.pairs
        )

    @property
    def actions(self) -> set[str]:
        return {action for action, _ in self.pairs}


def policy_of(function: str, references: Mapping[str, str]) -> Policy:
    """The policy of one function; ``references`` maps ``Table.Arn``, ``AlertsTopic``, … to values."""
    return Policy(
        frozenset(
            (action, _resolved(resource, references))
            for statement in statements(function)
            if not statement["Sid"].startswith("Platform") and statement["Sid"] != "JobBucket"
            for resource in as_list(statement["Resource"])
            for action in as_list(statement["Action"])
        )
    )


def _resolved(resource: Any, references: Mapping[str, str]) -> str:
    match resource:
        case {"Ref": name}:
            return references[name]
        case {"Fn::GetAtt": [name, attribute]}:
            return references[f"{name}.{attribute}"]
        case {"Fn::Sub": text}:
            return re.sub(r"\$\{([^}]+)\}", lambda found: references[found[1]], text)
        case _:
            return str(resource)
