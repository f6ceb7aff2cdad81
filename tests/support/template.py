"""template.yaml as plain data, for tests that hold the code against it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "template.yaml"


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags, as ``{"Ref": …}``, ``{"Fn::Sub": …}`` and so on."""


def _intrinsic(loader: yaml.Loader, suffix: str, node: yaml.Node) -> Any:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if name == "Fn::GetAtt":
            value = str(value).split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {name: value}


_Loader.add_multi_constructor("!", _intrinsic)


@cache
def template() -> dict[str, Any]:
    """The whole template."""
    return yaml.load(TEMPLATE.read_text(), _Loader)  # noqa: S506 - a SafeLoader with our own tags


def resources(kind: str) -> dict[str, dict[str, Any]]:
    """Resources of one type, by logical id."""
    return {
        name: resource
        for name, resource in template()["Resources"].items()
        if resource["Type"] == kind
    }


def functions() -> dict[str, dict[str, Any]]:
    """Properties of every function, by logical id without the suffix ``Function``."""
    return {
        name.removesuffix("Function"): resource["Properties"]
        for name, resource in resources("AWS::Serverless::Function").items()
    }


def routes(function: str) -> dict[str, dict[str, Any]]:
    """Route key → properties of a function's HttpApi events."""
    found = {}
    for event in functions()[function].get("Events", {}).values():
        if event["Type"] == "HttpApi":
            properties = event["Properties"]
            found[f"{properties['Method']} {properties['Path']}"] = properties
    return found


def statements(function: str) -> list[dict[str, Any]]:
    """The statements of a function's own role, those a parameter adds included."""
    role = template()["Resources"][f"{function}Role"]["Properties"]
    return [
        statement.get("Fn::If", [None, statement])[1]
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def as_list(value: Any) -> list[Any]:
    """IAM writes one or many."""
    return value if isinstance(value, list) else [value]
