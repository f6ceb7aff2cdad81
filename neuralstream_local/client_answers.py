"""The client's answer models, made from the OpenAPI document.

Every schema that an answer can contain becomes one class. Fields of a newer server are kept, and a value
that a newer server adds to an enumeration is accepted: type checkers see the known values only.
"""

from __future__ import annotations

import json
import textwrap
from graphlib import TopologicalSorter
from typing import Any, Final

from neuralstream_local.openapi import TARGET

__all__ = ["render_answers"]

_HEAD: Final = '''"""What the server answers: one class for each schema of the OpenAPI document.

Made by ``make client``; do not edit.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
{names}
]


class Answer(BaseModel):
    """Base of all answers; fields that this release does not know are kept in ``model_extra``."""

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

'''
_SCALARS: Final = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
}


def render_answers() -> str:
    """The source of ``neuralstream_client/answers.py``, not yet formatted."""
    document = json.loads(TARGET.read_text())
    schemas = document["components"]["schemas"]
    names = sorted(_answered(document, schemas))
    exported = sorted([*names, "Answer"])
    enumerations = [name for name in names if "enum" in schemas[name]]
    text = _HEAD.replace("{names}", "\n".join(f'    "{name}",' for name in exported))
    if enumerations:
        known = [f"    {n}: TypeAlias = {_literal(schemas[n]['enum'])}" for n in enumerations]
        any_text = [f"    {n}: TypeAlias = str" for n in enumerations]
        text += "\n".join(["if TYPE_CHECKING:", *known, "else:", *any_text]) + "\n"
    for name in _ordered(names, schemas):
        if name not in enumerations:
            text += "\n\n" + _class(name, schemas)
    return text


def _answered(document: Any, schemas: Any) -> set[str]:
    """Names of the schemas that a successful answer or a problem can contain."""
    waiting = {"Problem"}
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if status.startswith("2"):
                    waiting |= _references(response)
    found: set[str] = set()
    while waiting:
        found |= waiting
        waiting = {n for name in waiting for n in _references(schemas[name])} - found
    return found


def _ordered(names: list[str], schemas: Any) -> list[str]:
    """The names, each after those that it refers to."""
    needs = {name: sorted(_references(schemas[name])) for name in names}
    return list(TopologicalSorter(needs).static_order())


def _references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {_name(node["$ref"])} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(_references(child) for child in node.values()))
    if isinstance(node, list):
        return set().union(*(_references(child) for child in node))
    return set()


def _name(reference: str) -> str:
    return reference.rsplit("/", 1)[-1]


def _class(name: str, schemas: Any) -> str:
    schema = schemas[name]
    if not schema.get("properties"):
        return f"{name}: TypeAlias = {_type(schema)}\n"
    said = " ".join(schema.get("description", "").split()) or f"The answer schema ``{name}``."
    said = said.replace("\\", "\\\\")
    docstring = textwrap.fill(said, 92, initial_indent='    """', subsequent_indent="    ")
    if len(docstring) > 92:
        docstring += "\n    "
    required = set(schema.get("required", ()))
    fields = [
        f"    {field}: {_type(inner)}{_default(field, inner, required, schemas)}"
        for field, inner in schema["properties"].items()
    ]
    return f'class {name}(Answer):\n{docstring}"""\n\n' + "\n".join(fields) + "\n"


def _default(field: str, schema: Any, required: set[str], schemas: Any) -> str:
    if schema.get("format") == "password":
        return " = Field(repr=False)"
    if field in required:
        return ""
    default = schema.get("default")
    if default in ([], {}):
        return f" = Field(default_factory={type(default).__name__})"
    if "default" not in schema and (reference := schema.get("$ref")):
        name = _name(reference)
        if schemas[name].get("properties") and not schemas[name].get("required"):
            return f" = Field(default_factory={name})"
    if "default" not in schema and schema.get("type") == "array":
        return " = Field(default_factory=list)"
    if "default" not in schema and schema.get("type") == "object":
        return " = Field(default_factory=dict)"
    if default is None and not _accepts_null(schema):
        return " | None = None"
    return f" = {default!r}"


def _accepts_null(schema: Any) -> bool:
    return _type(schema) == "Any" or "None" in _type(schema).split(" | ")


def _type(schema: Any) -> str:
    if "$ref" in schema:
        return _name(schema["$ref"])
    for union in ("anyOf", "oneOf"):
        if union in schema:
            members = list(dict.fromkeys(_type(member) for member in schema[union]))
            if "float" in members and "str" in members:  # a label: whole numbers stay whole
                members.insert(0, "int")
            return " | ".join(members)
    if "const" in schema:
        return "str" if isinstance(schema["const"], str) else "Any"
    if "enum" in schema:
        return "str"
    kind = schema.get("type")
    if kind == "array":
        return f"list[{_type(schema.get('items', {}))}]"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"dict[str, {_type(values) if isinstance(values, dict) else 'Any'}]"
    if kind == "string" and schema.get("format") == "date-time":
        return "datetime"
    return _SCALARS.get(kind, "Any")


def _literal(values: list[Any]) -> str:
    return f"Literal[{', '.join(repr(value) for value in values)}]"
