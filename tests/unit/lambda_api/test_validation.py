"""What a caller is told of a wrong request: places of that request, in words without library terms."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from neuralstream_core.errors import Invalid, TooLarge
from neuralstream_core.features.requests import BatchRequest
from neuralstream_core.registry.requests import Registration
from neuralstream_core.serving.batch.requests import BatchBody
from neuralstream_core.serving.requests import PredictBody
from neuralstream_core.validation import from_validation
from neuralstream_local.openapi import routes

BODIES = {route.key: route.inputs.body for route in routes() if route.inputs.body is not None}
LIBRARY = re.compile(r"function-|\[key\]|pydantic|constrained|lax-or-strict|Value error")


SOME = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])


def refused(body: Any, text: str) -> Invalid | TooLarge:
    """What the route with this body answers to ``text``, which it must refuse."""
    with pytest.raises(ValidationError) as error:
        body.validate_json(text)
    return from_validation(error.value, text)


def documents(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """JSON with the names of a schema at every depth: some of it reaches every branch."""
    names = sorted(set(re.findall(r'"(\w+)": \{', json.dumps(schema))) - {"$defs", "properties"})
    keys = st.sampled_from([*names, "a b", "x", "list", "str"])
    texts = st.sampled_from(["", "x", "v1", "view:feature", "s3://b/k", "onnx", "\u0000", "1"])
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
    inner = st.recursive(
        leaves,
        lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(keys, deeper, max_size=3),
        max_leaves=12,
    )
    return st.dictionaries(keys, inner, max_size=6) | inner


@pytest.mark.parametrize("key", BODIES)
def test_every_place_that_is_named_is_one_of_the_request(key: str) -> None:
    body = BODIES[key]

    @SOME
    @given(documents(body.json_schema()))
    def check(sent: Any) -> None:
        text = json.dumps(sent)
        try:
            body.validate_json(text)
        except ValidationError as error:
            found = from_validation(error, text)
            for place in getattr(found, "errors", ()):
                assert _is_place(sent, place.loc), (place, text)
                assert not LIBRARY.search(place.msg), place
            assert not LIBRARY.search(found.detail), found.detail

    check()


def _is_place(sent: Any, loc: str) -> bool:
    """Whether ``loc`` leads to a value of ``sent``, or to a field that one of its objects lacks."""
    if loc == "body":
        return True
    node = sent
    parts = loc.split(".")
    for at, part in enumerate(parts):
        if isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, list) and part.isdecimal() and int(part) < len(node):
            node = node[int(part)]
        else:
            return at == len(parts) - 1 and isinstance(node, dict)
    return True


CASES = [
    (PredictBody, {"entity_id": 1.5}, {"entity_id"}, "a string or a whole number"),
    (PredictBody, {"entity_id": ["a", True]}, {"entity_id.1"}, "a string or a whole number"),
    (PredictBody, {"entity_id": {"k": None}}, {"entity_id.k"}, "a string or a whole number"),
    (PredictBody, {"entity_id": ""}, {"entity_id"}, "at least 1 character"),
    (PredictBody, {"entities": {"a b": "x"}}, {"entities.a b"}, "match pattern"),
    (BatchBody, {"entity_ids": ["a", {"k": 1.5}]}, {"entity_ids.1.k"}, "whole number"),
    (BatchRequest, {"entity_ids": []}, {"feature_view"}, "required"),
    (
        Registration,
        {"format": "onnx", "artifact_base64": "", "lineage": {"dataset": [{"uri": "u"}]}},
        {"lineage.dataset.0.name"},
        "required",
    ),
    (Registration, {"format": "onnx"}, {"body"}, "give either artifact_base64 or artifact"),
]


@pytest.mark.parametrize(("model", "sent", "places", "told"), CASES)
def test_the_place_and_the_reason_are_the_callers(
    model: Any, sent: Any, places: set[str], told: str
) -> None:
    text = json.dumps(sent)
    with pytest.raises(ValidationError) as error:
        model.model_validate_json(text)
    found = from_validation(error.value, text)

    assert isinstance(found, Invalid)
    assert {place.loc for place in found.errors} == places
    assert told in found.errors[0].msg


def test_branches_of_a_choice_are_one_error() -> None:
    found = refused(BODIES["POST /predict/{model_name}"], '{"entity_id": 1.5}')

    assert isinstance(found, Invalid)
    assert [place.msg for place in found.errors] == [
        "must be a string or a whole number or a valid array or an object"
    ]


def test_a_name_made_up_by_the_caller_is_not_repeated_at_any_length() -> None:
    text = json.dumps({"x" * 100_000: 1})
    found = refused(BODIES["POST /predict/{model_name}"], text)

    assert isinstance(found, Invalid)
    assert max(len(place.loc) for place in found.errors) <= 512
    assert len(found.detail) < 1000
