"""The life of a version, as its callers see it."""

from __future__ import annotations

from neuralstream_core.registry.records import Stage, Status
from tests.support.registry import House, ada


def test_a_registered_version_is_served_once_promoted(house: House) -> None:
    first = house.register(metrics={"auc": 0.9}).version
    assert (first.version, first.status, first.stage) == ("v1", Status.READY, Stage.STAGING)
    assert house.registry.routing("m").versions == {}

    house.registry.promote("m", "v1", ada())

    routing = house.registry.routing("m")
    assert routing.model.production_version == "v1"
    assert routing.versions["v1"].stage is Stage.PRODUCTION
    assert house.artifacts.get(routing.versions["v1"].digest) == b"model"
