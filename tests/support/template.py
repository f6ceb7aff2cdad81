"""template.yaml as plain data, for tests that hold the code against it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from neuralstream_local.template import parse

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "template.yaml"


@cache
def template() -> dict[str, Any]:
    """The whole template."""
    return parse(TEMPLATE.read_text())


def resources(kind: str) -> dict[str, dict[str, Any]]:
    """Resources of one type, by logical id."""
    return {
        name: resource
        for name, resource in template()["Resources"].items()
        if resource["Type"] == kind
    }


def functions() -> dict[str, dict[str, Any]]:
    """Own properties of every function, by logical id without the suffix ``Function``."""
    return {
        name.removesuffix("Function"): {"Handler": "app.lambda_handler"} | resource["Properties"]
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


def global_variables() -> dict[str, Any]:
    """The environment variables that every function has."""
    declared: dict[str, Any] = template()["Globals"]["Function"]["Environment"]["Variables"]
    return declared


def global_layers() -> list[dict[str, Any]]:
    """References to the layers that every function has."""
    declared: list[dict[str, Any]] = template()["Globals"]["Function"]["Layers"]
    return declared


def statements(function: str) -> list[dict[str, Any]]:
    """The statements of a function's own policy, those a parameter adds included."""
    policy = template()["Resources"].get(f"{function}Policy")
    if policy is None:
        return []
    return [
        statement.get("Fn::If", [None, statement])[1]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]


def as_list(value: Any) -> list[Any]:
    """IAM writes one or many."""
    return value if isinstance(value, list) else [value]
