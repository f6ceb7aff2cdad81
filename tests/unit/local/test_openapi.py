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
    public = {"/docs", "/openapi.json", "/health"}
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
