"""A view of whole numbers, written and read at a door."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.features import Door

__all__ = ["make", "put", "time_of", "values", "view"]


@pytest.fixture
def view(door: Door) -> str:
    """A view of two features without a TTL."""
    return make(door, "user", ["a", "b"])


def make(door: Door, name: str, features: list[str], **more: Any) -> str:
    spec = {
        "entity": "user_id",
        "features": [{"name": f, "dtype": "int64"} for f in features],
        **more,
    }
    assert door.put_view(name, spec).status in (200, 201)
    return name


def put(door: Door, view: str, entity: Any, time: str, **features: Any) -> dict[str, Any]:
    reply = door.write(
        {
            "feature_view": view,
            "entity_id": entity,
            "features": features,
            "event_timestamp": time,
        }
    )
    assert reply.status == 200, reply.body
    return reply.body


def values(door: Door, view: str, entity: Any) -> dict[str, Any]:
    reply = door.read(view, entity)
    assert reply.status == 200, reply.body
    return reply.body["features"]


def time_of(door: Door, view: str, entity: Any, feature: str) -> str:
    return door.read(view, entity, [feature]).body["event_timestamp"]
