"""Every example request of the OpenAPI document works as it stands, in the order of the document."""

from __future__ import annotations

import json
from urllib.parse import quote, urlencode

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from neuralstream_local.openapi import TARGET
from neuralstream_local.openapi_examples import EXAMPLES
from tests.support.poll import eventually
from tests.support.stack import laptop_stack

DOCUMENT = json.loads(TARGET.read_text())
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def bodies(operation):
    """The example bodies of an operation by name; one of none for an operation that needs no body."""
    content = operation.get("requestBody", {}).get("content", {})
    examples = content.get("application/json", {}).get("examples", {})
    return {name: each["value"] for name, each in examples.items()} or {"": None}


def target(path, operation, taken=None):
    """The path with its query, and the headers, that the example parameters and those taken make."""
    query, headers = {}, {}
    for parameter in operation.get("parameters", ()):
        name = parameter["name"]
        value = (taken or {}).get(name, parameter.get("example"))
        if value is None:
            assert not parameter["required"], name
            continue
        match parameter["in"]:
            case "path":
                path = path.replace(f"{{{name}}}", quote(str(value), safe=""))
            case "query":
                query[name] = value
            case "header":
                headers[name] = value
    return path + (f"?{urlencode(query)}" if query else ""), headers


@pytest.fixture(scope="module")
def laptop():
    """A stack of this module's own, which ends with it: an idle one still asks its queues and streams."""
    with laptop_stack() as running:
        yield running


@pytest.fixture(scope="module")
def answered(laptop):
    """The answer to each example request by operation and name, sent in the order of the document."""
    found = {}
    for name, (method, path, operation) in OPERATIONS.items():
        taken = {
            parameter: next(reply for (sent, _), reply in found.items() if sent == source).json()[
                field
            ]
            for parameter, (source, field) in EXAMPLES[name].taken.items()
        }
        where, headers = target(path, operation, taken)
        for body_name, body in bodies(operation).items():
            found[name, body_name] = laptop.request(method, where, body, headers)
    return found


CASES = [
    pytest.param(name, body_name, id=f"{name} {body_name}".strip())
    for name, (_, _, operation) in OPERATIONS.items()
    for body_name in bodies(operation)
]


@pytest.mark.parametrize(("name", "body_name"), CASES)
def test_an_example_is_answered_as_the_document_describes(answered, name, body_name):
    reply = answered[name, body_name]
    assert 200 <= reply.status < 300, reply.data
    described = OPERATIONS[name][2]["responses"][str(reply.status)]["content"]
    media_type = reply.headers["content-type"].partition(";")[0]
    schema = described[media_type]["schema"] | {"components": DOCUMENT["components"]}
    answer = reply.json() if media_type == "application/json" else reply.data.decode()
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(answer)


@pytest.mark.usefixtures("answered")
def test_the_job_of_the_example_ends_well(laptop):
    _, path, operation = OPERATIONS["get_job"]
    where, _ = target(path, operation)

    def ended():
        job = laptop.request("GET", where).json()
        return job if job["status"] in ("SUCCEEDED", "FAILED") else None

    job = eventually(ended)
    assert (job["status"], job["outcome"]["rows"], job["outcome"]["failed"]) == ("SUCCEEDED", 3, 0)


def test_an_operation_whose_body_is_required_shows_one():
    for name, (_, _, operation) in OPERATIONS.items():
        if "requestBody" in operation:
            assert None not in bodies(operation).values(), name


def test_what_an_example_needs_stands_before_it_and_is_named():
    places = {name: place for place, name in enumerate(OPERATIONS)}
    for name, example in EXAMPLES.items():
        for needed in example.after:
            assert places[needed] < places[name], name
            assert f"`{needed}`" in OPERATIONS[name][2]["description"]
        assert {source for source, _ in example.taken.values()} <= set(example.after), name
