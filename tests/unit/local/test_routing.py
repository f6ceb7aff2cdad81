"""The gateway picks the route that API Gateway would."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_local.gateway import RouteTable
from neuralstream_local.laptop import laptop_template


@pytest.fixture(scope="module")
def match():
    routes = RouteTable(laptop_template(redis_port=6379).routes())

    def match(method, path):
        found = routes.match(method, path)
        return found and (found[0].key, found[1])

    return match


@pytest.mark.parametrize(
    ("method", "path", "key", "parameters"),
    [
        ("GET", "/features/views", "GET /features/views", {}),
        ("GET", "/features/views/users", "GET /features/views/{name}", {"name": "users"}),
        (
            "GET",
            "/features/users/u1",
            "GET /features/{feature_view}/{entity_id+}",
            {"feature_view": "users", "entity_id": "u1"},
        ),
        (
            "GET",
            "/features/users/a/b//c",
            "GET /features/{feature_view}/{entity_id+}",
            {"feature_view": "users", "entity_id": "a/b//c"},
        ),
        (
            "GET",
            "/features/users/a%2Fb%20%C3%A9",
            "GET /features/{feature_view}/{entity_id+}",
            {"feature_view": "users", "entity_id": "a/b é"},
        ),
        ("POST", "/predict/m/batch", "POST /predict/{model_name}/batch", {"model_name": "m"}),
        ("GET", "/models/a%2Fb", "GET /models/{name}", {"name": "a/b"}),
    ],
)
def test_the_most_specific_route_wins(match, method, path, key, parameters):
    assert match(method, path) == (key, parameters)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/nope"),
        ("DELETE", "/models"),
        ("GET", "/models/"),
        ("GET", "/features/users"),
        ("GET", "/features/users/"),
        ("PATCH", "/predict/m"),
        ("get", "/models"),
    ],
)
def test_what_matches_no_route_is_no_route(match, method, path):
    assert match(method, path) is None


@given(
    view=st.text(min_size=1).filter(lambda v: v not in {"views", "batch"}),
    entity=st.text(min_size=1),
)
def test_any_encoded_name_and_id_arrive_as_they_were(match, view, entity):
    path = f"/features/{quote(view, safe='')}/{quote(entity, safe='')}"

    assert match("GET", path) == (
        "GET /features/{feature_view}/{entity_id+}",
        {"feature_view": view, "entity_id": entity},
    )
