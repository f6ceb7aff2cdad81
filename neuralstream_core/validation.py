"""Pydantic's validation errors as designed errors, which name places of the request in its own terms.

Within a place, pydantic also names the branch of a union (``entity_id.function-before[…].0``) and the key of
a dictionary (``tags.a b.[key]``), which a caller does not know. These parts are found by following the place
through the request: what is neither a key nor an index there is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from neuralstream_core.errors import FieldError, Invalid, TooLarge

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["from_validation"]

_MAX_ERRORS: Final = 100
_MAX_LOC: Final = 512
"""Characters of a place, which may hold a name that the caller made up."""
_SIZED: Final = frozenset({"rows", "entity_ids"})
"""Lists whose length is a limit of the route (413), not a rule of their form (422)."""
_OURS: Final = ("Value error, ", "Assertion failed, ")
_SHOULD: Final = "Input should be "


class _Found(NamedTuple):
    """One error: its place in the request, and whether a branch of a union or a key was named in it."""

    place: tuple[int | str, ...]
    branch: bool
    kind: str
    msg: str


def from_validation(
    error: ValidationError, raw: str | bytes | Mapping[str, Any], where: str = "body"
) -> Invalid | TooLarge:
    """The designed error, without the offending values.

    Args:
        raw: what was validated: JSON text, or the parameters of a query or path.
        where: ``"body"``, ``"query"`` or ``"path"``; precedes a place outside the body.
    """
    from pydantic_core import from_json

    details = error.errors(include_url=False, include_input=False, include_context=False)
    if details and details[0]["type"] == "json_invalid":
        return Invalid.at("body", details[0]["msg"], code="invalid_json")
    root = raw if isinstance(raw, Mapping) else from_json(raw)
    prefix = () if where == "body" else (where,)
    found = _merged([_located(root, e["loc"], e["type"], e["msg"]) for e in details[:_MAX_ERRORS]])
    errors = [
        FieldError(".".join(map(str, prefix + f.place))[:_MAX_LOC] or where, f.msg) for f in found
    ]
    first = errors[0]
    if all(f.kind == "too_long" and f.place and f.place[-1] in _SIZED for f in found):
        return TooLarge(f"{first.loc}: {first.msg}")
    others = len(errors) + max(0, len(details) - _MAX_ERRORS) - 1
    more = f" (and {others} more)" if others else ""
    return Invalid(f"{first.loc}: {first.msg}{more}", errors=errors)


def _located(root: Any, loc: Sequence[int | str], kind: str, msg: str) -> _Found:
    place: list[int | str] = []
    branch = False
    node = root
    for at, part in enumerate(loc):
        if _holds(node, part):
            place.append(part)
            node = node[part]
        elif kind == "missing" and at == len(loc) - 1:
            place.append(part)
        else:
            branch = True
    for start in _OURS:
        msg = msg.removeprefix(start)
    return _Found(tuple(place), branch, kind, msg)


def _holds(node: Any, part: int | str) -> bool:
    if isinstance(node, Mapping):
        return part in node
    return isinstance(node, list) and isinstance(part, int) and 0 <= part < len(node)


def _merged(found: Sequence[_Found]) -> list[_Found]:
    """One error for the branches of a union that failed at the same place, and none for a branch that
    did not even begin to fit while another one did."""
    branches = [f.place for f in found if f.branch]
    kept: dict[tuple[int | str, ...], _Found] = {}
    result: list[_Found] = []
    for f in found:
        if not f.branch:
            result.append(f)
        elif not any(len(p) > len(f.place) and p[: len(f.place)] == f.place for p in branches):
            earlier = kept.get(f.place)
            if earlier is None:
                result.append(f)
                kept[f.place] = f
            elif f.msg != earlier.msg:
                joined = earlier._replace(msg=_either(earlier.msg, f.msg))
                result[result.index(earlier)] = kept[f.place] = joined
    return result


def _either(first: str, second: str) -> str:
    options = second.removeprefix(_SHOULD)
    return first if options in first else f"{first} or {options}"
