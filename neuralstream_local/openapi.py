"""The OpenAPI 3.1 document of every route in template.yaml, made by Powertools from the functions' routes.

    python -m neuralstream_local.openapi            writes functions/console/openapi.json
    python -m neuralstream_local.openapi --check    fails when the committed file differs

Added here is what a route does not say itself: its summary and description (from the docstring), the scope
and limits of its contract, the errors it may answer, and example requests (`openapi_examples`).
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
import tomllib
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.event_handler.openapi.models import APIKey, License, Tag

from neuralstream_core import errors
from neuralstream_lambda.access import PUBLIC
from neuralstream_lambda.arguments import Inputs
from neuralstream_lambda.problems import Problem, problem
from neuralstream_lambda.resolver import Contract, Resolver
from neuralstream_local.children import ROOT
from neuralstream_local.functions import load
from neuralstream_local.laptop import laptop_template
from neuralstream_local.openapi_examples import EXAMPLES, Example

if TYPE_CHECKING:
    from aws_lambda_powertools.event_handler.api_gateway import Response, Route

__all__ = ["Declared", "build", "main", "render", "routes"]

TARGET: Final = ROOT / "functions" / "console" / "openapi.json"
_SCHEMA: Final = "#/components/schemas/"
_ERRORS: Final[dict[str, tuple[errors.NeuralStreamError, str]]] = {
    "Invalid": (
        errors.Invalid("-"),
        "the request is invalid; `errors` names each place, nothing was changed",
    ),
    "Unauthenticated": (errors.Unauthenticated("-"), "no valid API key"),
    "Forbidden": (errors.Forbidden("-"), "the key lacks the route's scope"),
    "NotFound": (errors.NotFound("-"), "a named thing does not exist"),
    "Conflict": (
        errors.Conflict("-"),
        "the request contradicts the present state; nothing was changed",
    ),
    "TooLarge": (errors.TooLarge("-"), "a size limit is exceeded"),
    "Unavailable": (
        errors.Unavailable("-", dependency="-"),
        "a dependency is down; `Retry-After` says when to try again",
    ),
}
_GATEWAY_FIRST: Final = ("Unauthenticated", "Forbidden", "TooLarge")
"""API Gateway itself refuses a request without a key (401), with a revoked one (403) or beyond Lambda's
limit (413)."""
_GATEWAY_SCHEMA: Final = {
    "type": "object",
    "required": ["message"],
    "properties": {"message": {"type": "string", "description": "for a person"}},
}
_TAGS: Final = {
    "features": "Define feature views and services, write and read feature values.",
    "registry": "Register model versions, promote them, split traffic, see where they come from.",
    "predict": "Predict for one entity.",
    "batch_predict": "Predict for many entities, at once or from file to file.",
    "outcomes": "Say what became of predictions.",
    "training_sets": "Join labels to the features of their time.",
    "schedules": "Run batch jobs at given times.",
    "monitoring": "Drift reports, statistics and Prometheus text.",
    "keys": "Make API keys for people and services, see who made them, end them.",
    "v2": 'The Open Inference Protocol V2, for clients that speak it; its errors are `{"error": …}`.',
    "health": "Whether the stack works.",
    "documentation": "This document.",
}
_INTRODUCTION: Final = """\
JSON in and out, times in ISO 8601, errors as RFC 9457 `application/problem+json`. Every operation needs
the scope that it names, by a key in the header `x-api-key`, unless it says otherwise; a stack on a laptop
asks for none until it is started with `AUTH=on`.

The examples fit a laptop stack as `make run` leaves it, with its flights example loaded, and work as they
stand. An operation whose example needs that of an earlier one says so. Elsewhere, put names of your own in
their place.
"""
_IDEMPOTENCY: Final = {
    "name": "idempotency-key",
    "in": "header",
    "required": False,
    "description": "1 to 255 printable ASCII characters: repeated with the same key and the same request, "
    "the operation is done once and gives the same answer; with another request the answer is 409",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": 255,
        "pattern": "^[!-~]([ -~]*[!-~])?$",
    },
}
_V2_SCHEMA: Final = {
    "type": "object",
    "description": "The error form of the Open Inference Protocol V2.",
    "required": ["error"],
    "properties": {"error": {"type": "string", "description": "one sentence for a person"}},
}


@dataclass(frozen=True)
class Declared:
    """A route of the template as its function declares it."""

    key: str
    route: Route
    contract: Contract
    problem: Callable[[errors.NeuralStreamError], Response[str]]

    @property
    def inputs(self) -> Inputs:
        """Validators of its parameters and body."""
        return Inputs.of(self.route)

    @property
    def form(self) -> str:
        """Prefix of the names of its errors: "" for RFC 9457."""
        return "" if self.problem is problem else "V2"


def routes() -> Iterator[Declared]:
    """Every route of the template, in its order.

    Raises:
        LookupError: the template has a route that its function does not declare.
    """
    template = laptop_template(redis_port=6379)
    functions = template.functions()
    resolvers: dict[str, list[Resolver]] = {}
    for route in template.routes():
        name = route.function
        if name not in resolvers:
            module = load(functions[name])
            resolvers[name] = [r for r in vars(module).values() if isinstance(r, Resolver)]
        key = route.key.replace("+}", "}")
        resolver = next((r for r in resolvers[name] if key in r.routes), None)
        if resolver is None:
            raise LookupError(f"{name} does not declare {route.key}")
        declared = resolver.routes[key]
        (contract,) = (m for m in declared.middlewares if isinstance(m, Contract))
        yield Declared(route.key, declared, contract, resolver.problem)


def build() -> dict[str, Any]:
    """The document."""
    found = list(routes())
    document = _by_powertools(found)
    for declared in found:
        route = declared.route
        operation = document["paths"][route.openapi_path][route.method.lower()]
        operation.setdefault("security", [])
        if "requestBody" in operation:
            operation["requestBody"].setdefault("required", False)
        if declared.contract.idempotent:
            operation.setdefault("parameters", []).append(dict(_IDEMPOTENCY))
        _add_examples(operation, EXAMPLES[operation["operationId"]])
        _add_errors(operation["responses"], declared)
        operation["responses"] = dict(sorted(operation["responses"].items()))
    components = document["components"]
    components["responses"] = _error_responses(found)
    problems = Problem.model_json_schema(ref_template=_SCHEMA + "{model}")
    document["paths"] = _ordered(document["paths"])
    components["schemas"] |= problems.pop("$defs") | {"Problem": problems, "V2Error": _V2_SCHEMA}
    return _tidy(document)


def _by_powertools(found: list[Declared]) -> dict[str, Any]:
    """What the routes declare, as routes of one resolver, so that equal names get distinct schemas."""
    merged = APIGatewayHttpResolver()
    for declared in found:
        route = declared.route
        summary, _, text = inspect.cleandoc(route.func.__doc__ or "").partition("\n")
        merged.route(
            route.path,
            route.method,
            summary=summary.rstrip("."),
            description="\n\n".join([" ".join(text.split()), *_limits(declared)]),
            operation_id=route.func.__name__,
            responses=route.responses,
            response_description=_answered(route.func),
            status_code=route.status_code,
            security=route.security,
            tags=route.tags,
        )(route.func)
    document: dict[str, Any] = json.loads(
        merged.get_openapi_json_schema(
            title="NeuralStream",
            version=tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"],
            openapi_version="3.1.0",
            summary="Feature store, model registry and model serving.",
            description=_INTRODUCTION,
            license_info=License(name="Apache-2.0", identifier="Apache-2.0"),
            tags=[Tag(name=name, description=text) for name, text in _TAGS.items()],
            security_schemes={
                "apiKey": APIKey.model_validate(
                    {
                        "name": "x-api-key",
                        "in": "header",
                        "description": "A key with the scope that the route names. The laptop stack asks "
                        "for one only when started with AUTH=on.",
                    }
                )
            },
        )
    )
    return document


def _limits(declared: Declared) -> Iterator[str]:
    """What a route needs of a caller, in sentences."""
    contract = declared.contract
    if contract.scope == PUBLIC:
        yield "Needs no key."
    else:
        either = " or ".join(f"`{scope}`" for scope in (contract.scope, *contract.others))
        yield f"Needs the scope {either}."
    if declared.inputs.body is not None:
        size = contract.max_body // 1024**2
        yield f"The body may have at most {size} MiB; beyond that, {contract.smaller_body}."
    if contract.smaller_answer is not None:
        yield f"The answer may have at most 6 MB; beyond that, {contract.smaller_answer}."
    if after := EXAMPLES[declared.route.func.__name__].after:
        names = ", ".join(f"`{name}`" for name in after)
        yield f"The example needs what that of {names} made."
    for parameter, (operation, field) in EXAMPLES[declared.route.func.__name__].taken.items():
        yield f"Take `{parameter}` from the answer of `{operation}`: its `{field}`."


def _answered(function: Callable[..., Any]) -> str:
    """What a route answers, in the words of its answer's class."""
    annotation = typing.get_type_hints(function)["return"]
    classes = [annotation]
    while nested := [part for each in classes for part in typing.get_args(each)]:
        classes = nested
    texts = [inspect.cleandoc(each.__doc__ or "").partition("\n\n")[0] for each in classes]
    return " Or: ".join(" ".join(text.split()) for text in texts)


def _add_examples(operation: dict[str, Any], example: Example) -> None:
    """Add the example requests.

    Raises:
        LookupError: an example for a parameter that the operation does not have.
    """
    parameters = {each["name"]: each for each in operation.get("parameters", ())}
    if unknown := example.parameters.keys() - parameters.keys():
        raise LookupError(f"{operation['operationId']} has no parameter {', '.join(unknown)}")
    for name, value in example.parameters.items():
        parameters[name]["example"] = value
    if example.bodies:
        operation["requestBody"]["content"]["application/json"]["examples"] = {
            name: {"summary": summary, "value": body}
            for name, (summary, body) in example.bodies.items()
        }


def _ordered(paths: dict[str, Any]) -> dict[str, Any]:
    """Paths, and the methods of each, in the order of the examples."""
    order = {name: place for place, name in enumerate(EXAMPLES)}

    def place(operation: dict[str, Any]) -> int:
        return order[operation["operationId"]]

    sorted_methods = {
        path: dict(sorted(methods.items(), key=lambda item: place(item[1])))
        for path, methods in paths.items()
    }
    return dict(sorted(sorted_methods.items(), key=lambda item: min(map(place, item[1].values()))))


def _add_errors(responses: dict[str, Any], declared: Declared) -> None:
    """Add the designed errors a route may answer, but those it answers in a form of its own."""
    inputs, contract = declared.inputs, declared.contract
    reads_path = inputs.path is not None or inputs.query is not None
    names = ["Unavailable"]
    if contract.scope != PUBLIC:
        names += ["Unauthenticated", "Forbidden"]
    if reads_path or inputs.body is not None:
        names += ["Invalid", "NotFound"]
    if inputs.body is not None or contract.smaller_answer is not None:
        names.append("TooLarge")
    if declared.route.method != "GET" or (declared.form and inputs.path is not None):
        names.append("Conflict")
    for name in names:
        error, description = _ERRORS[name]
        status = str(declared.problem(error).status_code)
        if status in responses:
            responses[status]["description"] = description
        else:
            responses[status] = {"$ref": f"#/components/responses/{declared.form}{name}"}
    if reads_path:
        responses["431"] = {"$ref": "#/components/responses/TooLong"}


def _error_responses(found: list[Declared]) -> dict[str, Any]:
    """Every designed error in every form that a route answers it in."""
    made: dict[str, Any] = {
        "TooLong": {
            "description": "request line and headers have more than 10 KB; API Gateway's own answer",
            "content": {"application/json": {"schema": _GATEWAY_SCHEMA}},
        }
    }
    for declared in {d.form: d for d in found}.values():
        own = {"$ref": _SCHEMA + ("V2Error" if declared.form else "Problem")}
        for name, (error, description) in _ERRORS.items():
            media_type = str(declared.problem(error).headers["Content-Type"])
            content: dict[str, Any] = {media_type: {"schema": own}}
            if name in _GATEWAY_FIRST:
                either = {"anyOf": [own, _GATEWAY_SCHEMA]} if declared.form else _GATEWAY_SCHEMA
                content["application/json"] = {"schema": either}
            made[declared.form + name] = {"description": description, "content": content}
    return made


def _tidy(document: dict[str, Any]) -> dict[str, Any]:
    """Without schemas that nothing refers to, and with readable names for those of equal classes:
    ``neuralstream_core__features__answers__BatchAnswer`` is ``FeaturesBatchAnswer``."""
    schemas = document["components"]["schemas"]
    used: set[str] = set()
    waiting = _references([document["paths"], document["components"]["responses"]])
    while waiting:
        used |= waiting
        waiting = {n for name in waiting for n in _references(schemas[name])} - used
    document["components"]["schemas"] = {name: schemas[name] for name in sorted(used)}
    text = json.dumps(document)
    for name in used:
        parts = name.split("__")
        if len(parts) > 2:
            text = text.replace(f'{name}"', f'{parts[1].title()}{parts[-1]}"')
    tidied: dict[str, Any] = json.loads(text)
    return tidied


def _references(node: Any) -> set[str]:
    return set(re.findall(rf'"{_SCHEMA}([^"]+)"', json.dumps(node)))


def render(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Write or check the file; 1 when it differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(argv)
    text = render(build())
    if options.check:
        if TARGET.exists() and TARGET.read_text() == text:
            return 0
        sys.stderr.write(
            f"{TARGET.relative_to(ROOT)} is not what the code declares; run make openapi\n"
        )
        return 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
