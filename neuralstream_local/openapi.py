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
import sys
import tomllib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError

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
_PROBLEMS: Final = {
    401: "no valid API key",
    403: "the key lacks the route's scope",
    404: "a named thing does not exist",
    409: "the request contradicts the present state; nothing was changed",
    413: "a size limit is exceeded",
    422: "the request is invalid; `errors` names each place, nothing was changed",
    503: "a dependency is down; `Retry-After` says when to try again",
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
    "title": "InferenceError",
    "description": "The error form of the Open Inference Protocol V2.",
    "required": ["error"],
    "properties": {"error": {"type": "string"}},
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
    return {
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
                "InferenceError": _PLAIN_ERROR_SCHEMA,
            },
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
    """A schema source for a return annotation; ``None`` where the answer is not JSON of one shape."""
    if annotation is None or annotation is type(None):
        return None
    if isinstance(annotation, type) and issubclass(annotation, Answer | bytes):
        return None
    try:
        adapter = TypeAdapter(annotation)
        adapter.json_schema()
    except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema):
        return None
    return adapter


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
    responses = {str(route.status): success}
    for status in sorted(_possible(route)):
        responses[str(status)] = {
            "description": _PROBLEMS[status],
            "content": _error_content(route),
        }
    return responses


def _possible(route: Route) -> set[int]:
    """The designed errors a route may answer."""
    statuses = {503}
    if route.scope != PUBLIC:
        statuses |= {401, 403}
    if route.path is not None:
        statuses |= {404, 422}
    if route.query is not None:
        statuses.add(422)
    if route.body is not None:
        statuses |= {413, 422}
    if route.method != "GET":
        statuses.add(409)
    return statuses


def _error_content(route: Route) -> dict[str, Any]:
    if route.problem is problem:
        return {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"application/json": {"schema": {"$ref": "#/components/schemas/InferenceError"}}}


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
