"""The committed OpenAPI document is valid, whole, and what the code declares."""

from __future__ import annotations

import json

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from neuralstream_local.laptop import laptop_template
from neuralstream_local.openapi import TARGET, build, render


@pytest.fixture(scope="module")
def document():
    return build()


def test_the_committed_document_is_what_the_code_declares(document):
    assert TARGET.read_text() == render(document)


def test_the_document_is_valid_openapi(document):
    assert not list(OpenAPIV31SpecValidator(document).iter_errors())


def test_every_route_of_the_template_is_described(document):
    described = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }

    assert described == {
        (route.method, route.path.replace("+}", "}"))
        for route in laptop_template(redis_port=1).routes()
    }


def test_every_operation_says_what_it_does_needs_and_answers(document):
    public = {"/docs", "/openapi.json", "/health", "/console", "/console/{file}"}
    names = []
    for path, methods in document["paths"].items():
        for operation in methods.values():
            names.append(operation["operationId"])
            assert operation["summary"]
            assert bool(operation["security"]) is (path not in public)
            assert any(status.startswith("2") for status in operation["responses"])
            wanted = {part[1:-1] for part in path.split("/") if part.startswith("{")}
            given = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
            assert given == wanted
    assert len(names) == len(set(names))


def test_no_definition_names_a_place_in_the_code(document):
    assert not [name for name in document["components"]["schemas"] if "__" in name]
    assert "_function_" not in json.dumps(document)


FREE = {
    "Registration.params": "the caller's own",
    "VersionAnswer.params": "the caller's own",
    "VersionLineage.params": "the caller's own",
    "VersionLineage.further": "the caller's own",
    "Lineage": "further fields are the caller's own",
    "InferBody.parameters": "open in the protocol, so that extensions are ignored",
    "InputTensor.parameters": "open in the protocol, so that extensions are ignored",
    "OutputRequest.parameters": "open in the protocol, so that extensions are ignored",
    "InputTensor.data": "nested as deep as the tensor has axes",
    "OutputTensor.data": "the cells of an input may be nested, and both are cells",
    "Labels.rows": "the caller's own columns beside those of ids and times",
    "Run.facets": "open in OpenLineage",
    "Job.facets": "open in OpenLineage",
    "RunDataset.facets": "open in OpenLineage",
    "openapi": "a document of the OpenAPI specification",
}
"""Why a part of the document has no type of its own."""


def schemas(node, place):
    """Every schema in ``node`` with the place it belongs to: a class, or a class and its field."""
    if isinstance(node, list):
        for each in node:
            yield from schemas(each, place)
    elif isinstance(node, dict):
        yield place, node
        for name, field in node.get("properties", {}).items():
            yield from schemas(field, f"{place}.{name}" if "." not in place else place)
        for key in ("anyOf", "items", "additionalProperties", "patternProperties"):
            below = node.get(key)
            yield from schemas(
                list(below.values()) if key == "patternProperties" and below else below, place
            )


def every_schema(document):
    for name, schema in document["components"]["schemas"].items():
        yield from schemas(schema, name)
    for methods in document["paths"].values():
        for operation in methods.values():
            for each in operation.get("parameters", ()):
                yield from schemas(each["schema"], operation["operationId"])
            for answer in operation["responses"].values():
                for content in answer.get("content", {}).values():
                    yield from schemas(content["schema"], operation["operationId"])


def untyped(schema):
    if schema == {} or schema.get("additionalProperties") is True:
        return True
    if schema.get("type") == "array":
        return not {"items", "prefixItems", "maxItems"} & set(schema)
    bodies = {"properties", "additionalProperties", "patternProperties"}
    return schema.get("type") == "object" and not bodies & set(schema)


def test_nothing_is_untyped_without_a_reason(document):
    assert {place for place, schema in every_schema(document) if untyped(schema)} == set(FREE)


def test_every_field_and_class_is_described(document):
    missing = [
        f"{place}.{name}"
        for place, schema in every_schema(document)
        for name, field in schema.get("properties", {}).items()
        if not field.get("description")
    ]
    missing += [n for n, s in document["components"]["schemas"].items() if not s.get("description")]
    assert missing == []


def test_every_operation_parameter_and_answer_is_described(document):
    missing = []
    for methods in document["paths"].values():
        for operation in methods.values():
            parts = {
                "": operation,
                **{each["name"]: each for each in operation.get("parameters", ())},
                **{s: a for s, a in operation["responses"].items() if "$ref" not in a},
            }
            for name, part in parts.items():
                if part.get("description", "").lower() in ("", "done", "successful response"):
                    missing.append((operation["operationId"], name))
            assert operation["summary"] not in operation["description"]
            if operation["security"]:
                (scope,) = operation["security"][0]["apiKey"]
                assert f"`{scope}`" in operation["description"]
    assert missing == []
    assert all(tag["description"] for tag in document["tags"])
