"""The OpenAPI 3.1 document of every route in template.yaml, made from the functions' own declarations.

    python -m neuralstream_local.openapi            writes functions/console/openapi.json
    python -m neuralstream_local.openapi --check    fails when the committed file differs
    python -m neuralstream_local.openapi --page     also writes functions/console/docs.html.gz

What a route takes and gives is read from its `neuralstream_lambda.Route`: the pydantic models of its
parameters and its return annotation. Nothing is written twice.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Union, get_args, get_origin

from pydantic import TypeAdapter

from neuralstream_core import errors
from neuralstream_lambda import PUBLIC, Answer, Api, Route
from neuralstream_lambda.problems import problem
from neuralstream_local.functions import load
from neuralstream_local.laptop import laptop_template
from neuralstream_local.template import ROOT

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaMode

__all__ = ["build", "main", "routes"]

TARGET: Final = ROOT / "functions" / "console" / "openapi.json"
_REF: Final = "#/components/schemas/{model}"
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
_PROBLEM_SCHEMA: Final = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "one sentence for a person"},
        "code": {"type": "string", "description": "stable and machine-readable"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["loc", "msg"],
                "properties": {
                    "loc": {"type": "string", "description": "a path such as rows.3.features.age"},
                    "msg": {"type": "string"},
                },
            },
        },
    },
}
_PLAIN_ERROR_SCHEMA: Final = {
    "type": "object",
    "title": "V2Error",
    "description": "The error form of the Open Inference Protocol V2.",
    "required": ["error"],
    "properties": {"error": {"type": "string"}},
}
_GATEWAY_FIRST: Final = ("Unauthenticated", "Forbidden", "TooLarge")
"""API Gateway itself refuses a request without a key (401), with a revoked one (403) or beyond Lambda's
limit (413)."""
_GATEWAY_SCHEMA: Final = {
    "type": "object",
    "required": ["message"],
    "properties": {"message": {"type": "string"}},
}


def routes() -> Iterator[Route]:
    """Every route of the template, in its order, as its function declares it.

    Raises:
        LookupError: the template has a route that its function does not declare.
    """
    template = laptop_template(redis_port=6379)
    functions = template.functions()
    declared: dict[str, dict[str, Route]] = {}
    for route in template.routes():
        if route.function not in declared:
            module = load(functions[route.function])
            declared[route.function] = {
                key: r
                for api in vars(module).values()
                if isinstance(api, Api)
                for key, r in api.routes.items()
            }
        if route.key not in declared[route.function]:
            raise LookupError(f"{route.function} does not declare {route.key}")
        yield declared[route.function][route.key]


def build() -> dict[str, Any]:
    """The document."""
    found = list(routes())
    schemas = _Schemas(found)
    paths: dict[str, dict[str, Any]] = {}
    names: set[str] = set()
    for route in found:
        operation = _operation(route, schemas, names)
        paths.setdefault(route.template.replace("+}", "}"), {})[route.method.lower()] = operation
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "NeuralStream",
            "version": project["version"],
            "summary": "Feature store, model registry and model serving.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {
                **schemas.definitions,
                "Problem": _PROBLEM_SCHEMA,
                "V2Error": _PLAIN_ERROR_SCHEMA,
            },
            "responses": _error_responses(found),
            "securitySchemes": {
                "apiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-api-key",
                    "description": "A key with the scope that the route names. The laptop stack asks for "
                    "one only when started with AUTH=on.",
                }
            },
        },
        "tags": [{"name": tag} for tag in dict.fromkeys(t for r in found for t in r.tags)],
    }
    return _tidy(document)


def _tidy(document: dict[str, Any]) -> dict[str, Any]:
    """Without definitions that nothing refers to, with readable names, without ``default: null``."""
    schemas = document["components"]["schemas"]
    used: set[str] = set()
    waiting = _references([document["paths"], document["components"]["responses"]])
    while waiting:
        used |= waiting
        waiting = {n for name in waiting for n in _references(schemas[name])} - used
    document["components"]["schemas"] = {
        _readable(name): schema for name, schema in sorted(schemas.items()) if name in used
    }
    cleaned: dict[str, Any] = _cleaned(document)
    return cleaned


def _references(node: Any) -> set[str]:
    return set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(node)))


def _readable(name: str) -> str:
    """``neuralstream_core__features__answers__BatchAnswer`` (one of two) as ``FeaturesBatchAnswer``."""
    parts = name.split("__")
    return name if len(parts) < 3 else parts[1].title() + parts[-1]


def _cleaned(node: Any) -> Any:
    if isinstance(node, dict):
        cleaned = {k: _cleaned(v) for k, v in node.items() if not (k == "default" and v is None)}
        if isinstance(ref := cleaned.get("$ref"), str):
            base, _, name = ref.rpartition("/")
            cleaned["$ref"] = f"{base}/{_readable(name)}"
        return cleaned
    return [_cleaned(item) for item in node] if isinstance(node, list) else node


class _Schemas:
    """JSON schemas of all models at once, so that equal names get distinct definitions."""

    def __init__(self, found: list[Route]) -> None:
        inputs: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = []
        for route in found:
            for where, model in (("path", route.path), ("query", route.query)):
                if model is not None:
                    inputs.append((f"{route.key} {where}", "validation", TypeAdapter(model)))
            if route.body is not None:
                inputs.append((f"{route.key} body", "validation", route.body))
            if (answer := _adapter(route.answer)) is not None:
                inputs.append((f"{route.key} answer", "serialization", answer))
        made, document = TypeAdapter.json_schemas(inputs, ref_template=_REF)
        self.definitions: dict[str, Any] = document.get("$defs", {})
        self._made = {key: schema for (key, _), schema in made.items()}

    def of(self, route: Route, what: str) -> dict[str, Any] | None:
        """The schema of a route's ``path``, ``query``, ``body`` or ``answer``."""
        return self._made.get(f"{route.key} {what}")

    def properties(self, route: Route, what: str) -> tuple[dict[str, Any], set[str]]:
        """Properties and required names of a model of parameters."""
        schema = self.of(route, what) or {}
        while "$ref" in schema:
            schema = self.definitions[schema["$ref"].rpartition("/")[2]]
        return schema.get("properties", {}), set(schema.get("required", ()))


def _adapter(annotation: Any) -> TypeAdapter[Any] | None:
    """A schema source for what a route answers; ``None`` where that is not JSON of a declared shape.

    ``Annotated[Answer, Model]`` answers a ``Model``; ``Model | Answer`` mostly does.
    """
    if get_origin(annotation) is Annotated and get_args(annotation)[0] is Answer:
        annotation = get_args(annotation)[1]
    if get_origin(annotation) in {Union, UnionType}:
        shapes = [shape for shape in get_args(annotation) if shape is not Answer]
        annotation = Union[tuple(shapes)]  # noqa: UP007 - made of a list
    if annotation in {None, type(None), Answer, bytes}:
        return None
    return TypeAdapter(annotation)


def _operation(route: Route, schemas: _Schemas, names: set[str]) -> dict[str, Any]:
    summary, _, description = inspect.cleandoc(route.call.__doc__ or "").partition("\n")
    name = route.call.__name__
    if name in names:
        name = f"{route.tags[0]}_{name}"
    while name in names:
        name += "_"
    names.add(name)
    operation: dict[str, Any] = {
        "operationId": name,
        "tags": list(route.tags),
        "summary": summary.strip().rstrip("."),
        "security": [] if route.scope == PUBLIC else [{"apiKey": [str(route.scope)]}],
    }
    if description.strip():
        operation["description"] = description.strip()
    if parameters := _parameters(route, schemas):
        operation["parameters"] = parameters
    body = schemas.of(route, "body")
    if body is not None:
        operation["requestBody"] = {
            "required": not _accepts_null(body),
            "content": {"application/json": {"schema": body}},
        }
    operation["responses"] = _responses(route, schemas)
    return operation


def _parameters(route: Route, schemas: _Schemas) -> list[dict[str, Any]]:
    parameters = []
    for where in ("path", "query"):
        properties, required = schemas.properties(route, where)
        for name, schema in properties.items():
            parameter = {
                "name": name,
                "in": where,
                "required": where == "path" or name in required,
                "schema": schema,
            }
            if where == "path" and f"{{{name}+}}" in route.template:
                parameter["description"] = "may hold `/`; other characters percent-encoded"
            parameters.append(parameter)
    return parameters


def _responses(route: Route, schemas: _Schemas) -> dict[str, Any]:
    answer = schemas.of(route, "answer")
    success: dict[str, Any] = {"description": "done"}
    if answer is not None:
        success["content"] = {"application/json": {"schema": answer}}
    own = _own_statuses(route)
    responses = {str(status): success for status in own if status < 300}
    for name in _possible(route):
        status = route.problem(_ERRORS[name][0])["statusCode"]
        if status in own and answer is not None:
            description = _ERRORS[name][1]
            responses[str(status)] = {**success, "description": description}
        else:
            responses[str(status)] = {"$ref": f"#/components/responses/{_form(route)}{name}"}
    if route.path is not None or route.query is not None:
        responses["431"] = {"$ref": "#/components/responses/TooLong"}
    return dict(sorted(responses.items()))


def _form(route: Route) -> str:
    return "" if route.problem is problem else "V2"


def _error_responses(found: list[Route]) -> dict[str, Any]:
    """Every designed error in every form that a route answers it in."""
    made: dict[str, Any] = {
        "TooLong": {
            "description": "request line and headers have more than 10 KB; API Gateway's own answer",
            "content": {"application/json": {"schema": _GATEWAY_SCHEMA}},
        }
    }
    for route in {_form(route): route for route in found}.values():
        schema = "V2Error" if _form(route) else "Problem"
        for name, (error, description) in _ERRORS.items():
            media_type = route.problem(error)["headers"]["content-type"]
            content: dict[str, Any] = {
                media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}
            }
            if name in _GATEWAY_FIRST:
                own = content.get("application/json", {}).get("schema")
                either = _GATEWAY_SCHEMA if own is None else {"anyOf": [own, _GATEWAY_SCHEMA]}
                content["application/json"] = {"schema": either}
            made[_form(route) + name] = {"description": description, "content": content}
    return made


def _own_statuses(route: Route) -> set[int]:
    """The declared status, and those that the route's own code gives an `Answer`.

    An error among them (a health check's 503) is answered in the form of the route's answer.
    """
    named = re.findall(r"status=([^,)]*)", inspect.getsource(route.call))
    own = {int(number) for text in named for number in re.findall(r"\b[25]\d\d\b", text)}
    return own | {route.status}


def _possible(route: Route) -> list[str]:
    """The designed errors a route may answer."""
    names = ["Unavailable"]
    if route.scope != PUBLIC:
        names += ["Unauthenticated", "Forbidden"]
    if route.path is not None or route.query is not None or route.body is not None:
        names += ["Invalid", "NotFound"]
    if route.body is not None or route.smaller_answer is not None:
        names.append("TooLarge")
    if route.conflicts:
        names.append("Conflict")
    return names


def _accepts_null(schema: dict[str, Any]) -> bool:
    return any(option.get("type") == "null" for option in schema.get("anyOf", ()))


def render(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Write or check the file; 1 when it differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--page", action="store_true")
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
    if options.page:
        from neuralstream_local.docs_page import write

        write(TARGET.with_name("docs.html.gz"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
