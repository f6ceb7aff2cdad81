"""Entities: the forms in which a caller names one, and the Redis key it becomes.

A composite entity has one part per key of the view. All of its parts but the last are
length-prefixed in the key, so no id can be mistaken for another whatever characters it holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neuralstream_core.errors import Invalid
from neuralstream_core.features.rows import Entity
from neuralstream_core.features.values import BadValue
from neuralstream_core.types import MAX_ENTITY_ID, id_text

__all__ = ["entity_bytes", "entity_json", "parse_entity", "parse_path"]

_ID = "a string or a whole number"
_LENGTH = f"must have 1 to {MAX_ENTITY_ID} characters"
_UNICODE = "must be valid Unicode (it holds a lone surrogate)"


def parse_entity(keys: tuple[str, ...], raw: Any) -> Entity:
    """The entity that JSON (or a library caller) names.

    Args:
        keys: the view's entity keys.
        raw: an id; a list of ids in key order; or an object of ids by key. An id is a string or a whole
            number, which stands for its decimal digits.

    Raises:
        BadValue: not a form that fits ``keys``.
    """
    if isinstance(raw, str) or type(raw) is int:
        parts: Sequence[Any] = (raw,)
    elif isinstance(raw, Mapping):
        if set(raw) != set(keys):
            raise BadValue(f"must have exactly the keys {', '.join(keys)}")
        parts = [raw[key] for key in keys]
    elif isinstance(raw, list | tuple):
        parts = raw
    else:
        raise BadValue(f"must be {_ID}, or a list or an object of them")
    if len(parts) != len(keys):
        what = "one id" if len(keys) == 1 else f"{len(keys)} ids ({', '.join(keys)})"
        raise BadValue(f"must be {what}")
    found = tuple(map(_part, parts))
    return found[0] if len(keys) == 1 else found


def parse_path(keys: tuple[str, ...], text: str) -> Entity:
    r"""The entity in a URL path. A composite one joins its parts with ``,``; ``\`` escapes ``,`` and
    ``\``. A plain id stands for itself.

    Raises:
        BadValue: not as many parts as ``keys``.
    """
    if len(keys) == 1:
        return parse_entity(keys, text)
    parts = [""]
    characters = iter(text)
    for character in characters:
        if character == "\\":
            parts[-1] += next(characters, "\\")
        elif character == ",":
            parts.append("")
        else:
            parts[-1] += character
    return parse_entity(keys, parts)


def entity_json(entity: Entity) -> str | list[str]:
    """How answers name ``entity``."""
    return entity if isinstance(entity, str) else list(entity)


def entity_bytes(keys: tuple[str, ...], entity: Entity) -> bytes:
    """The part of a Redis key that names ``entity``.

    Raises:
        Invalid: ``entity`` does not fit ``keys``.
    """
    try:
        if isinstance(entity, str):
            if len(keys) != 1:
                raise BadValue(f"must be {len(keys)} strings ({', '.join(keys)})")
            _check(entity)
            return entity.encode()
        if len(entity) != len(keys):
            raise BadValue(f"must be {len(keys)} strings ({', '.join(keys)})")
        for part in entity:
            _check(part)
        parts = [part.encode() for part in entity]
    except BadValue as error:
        raise Invalid.at("entity_id", str(error), code="invalid_entity") from None
    return b"".join(b"%d:%b" % (len(part), part) for part in parts[:-1]) + parts[-1]


def _part(raw: Any) -> str:
    try:
        part = id_text(raw)
    except ValueError:
        raise BadValue(_LENGTH if isinstance(raw, int) else _UNICODE) from None
    if not isinstance(part, str):
        raise BadValue(f"must hold only ids, each {_ID}")
    _check(part)
    return part


def _check(part: str) -> None:
    if not 0 < len(part) <= MAX_ENTITY_ID:
        raise BadValue(_LENGTH)
    try:
        part.encode()
    except UnicodeEncodeError:
        raise BadValue(_UNICODE) from None
