"""One view for several entities of a request: the weather at a flight's origin and at its destination."""

from __future__ import annotations

from typing import Any

import pytest

from neuralstream_core.errors import Invalid
from neuralstream_core.features.services import ServiceSpec
from tests.support.jobs import linear

from .conftest import Function, World, by

PREDICT = "POST /predict/{model_name}"
INFER = "POST /v2/models/{model}/infer"
BOTH = ["weather@origin:temp", "weather@destination:temp"]
WEIGHTS = [1.0, 100.0]
FLIGHT = {"origin": "JFK", "destination": "LAX"}


def ask(function: Function, model: str = "m", **body: Any) -> tuple[int, dict[str, Any]]:
    return function(PREDICT, {"model_name": model}, body)


@pytest.fixture
def airports(world: World) -> World:
    """``m`` answers the temperature at the origin and a hundred times that at the destination."""
    world.view("weather", {"temp": "float64", "wind": "float64"}, "airport")
    rows = {"JFK": {"temp": 1.0, "wind": 3.0}, "LAX": {"temp": 2.0, "wind": 4.0}}
    world.write("weather", rows)
    world.serve("m", linear(WEIGHTS), BOTH, kind="linear")
    return world


@pytest.mark.usefixtures("airports")
def test_each_role_is_read_for_its_own_id(function: Function) -> None:
    status, answer = ask(function, entities=FLIGHT, return_features=True)
    assert status == 200, answer
    assert answer["prediction"] == 201.0
    assert answer["features"] == {"weather@origin:temp": 1.0, "weather@destination:temp": 2.0}
    assert answer["entity_id"] == FLIGHT

    _, turned = ask(function, entities={"origin": "LAX", "destination": "JFK"})
    assert turned["prediction"] == 102.0
    _, same = ask(function, entities={"origin": "LAX", "destination": "LAX"})
    assert same["prediction"] == 202.0


@pytest.mark.usefixtures("airports")
def test_the_roles_may_be_the_entity_id(function: Function) -> None:
    _, answer = ask(function, entity_id=FLIGHT)
    assert (answer["prediction"], answer["entity_id"]) == (201.0, FLIGHT)
    _, answer = ask(function, entity_id=FLIGHT, entities={"destination": "JFK"})
    assert answer["prediction"] == 101.0
    _, answer = ask(function, entity_id="UA 17", entities=FLIGHT)
    assert (answer["prediction"], answer["entity_id"]) == (201.0, "UA 17")


def test_both_roles_are_read_in_one_flight(airports: World) -> None:
    flights = []
    read = airports.port.mget
    airports.port.mget = lambda keys: flights.append(len(keys)) or read(keys)  # type: ignore[method-assign]
    assert airports.engine.predict("m", None, entities=FLIGHT).answer.prediction == 201.0
    assert flights == [2]


@pytest.mark.usefixtures("airports")
@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, "entities.origin"),
        ({"entity_id": "UA 17"}, "entities.origin"),
        ({"entities": {"origin": "JFK"}}, "entities.destination"),
        ({"entity_id": {"destination": "LAX"}}, "entities.origin"),
        ({"entities": {"airport": "JFK"}}, "entities.origin"),
        ({"entity_id": {"origin": "JFK", "airport": "JFK"}}, "entity_id"),
        ({"entity_id": ["JFK", "LAX"]}, "entity_id"),
        ({"entities": FLIGHT, "feature_view": "weather"}, "feature_view"),
        ({"entities": FLIGHT, "features": {"temp": 1.0}}, "features.temp"),
    ],
)
def test_what_is_missing_or_unclear_is_named(
    function: Function, body: dict[str, Any], loc: str
) -> None:
    status, problem = ask(function, **body)
    assert status == 422, problem
    assert [error["loc"] for error in problem["errors"]] == [loc]


@pytest.mark.usefixtures("airports")
def test_an_ambiguous_name_is_refused_with_both_that_it_may_mean(function: Function) -> None:
    _, problem = ask(function, entities=FLIGHT, features={"temp": 1.0})
    assert (problem["code"], problem["errors"][0]["msg"]) == (
        "ambiguous_feature",
        "ambiguous: weather@origin:temp, weather@destination:temp",
    )


@pytest.mark.usefixtures("airports")
def test_a_request_may_give_the_features_of_a_role(function: Function) -> None:
    _, answer = ask(
        function, entities={"origin": "JFK"}, features={"weather@destination:temp": 5.0}
    )
    assert answer["prediction"] == 501.0
    status, problem = ask(function, entities={"origin": "XXX", "destination": "LAX"})
    assert (status, problem["code"]) == (422, "missing_features")
    assert problem["errors"] == [{"loc": "features.weather@origin:temp", "msg": "NOT_FOUND"}]


def test_roles_beside_a_view_of_its_own_entity(airports: World, function: Function) -> None:
    airports.view("carriers", {"delayed": "float64"}, "carrier")
    airports.write("carriers", {"UA": {"delayed": 0.5}})
    names = [*BOTH, "carriers:delayed"]
    airports.serve("mixed", linear([1.0, 100.0, 1000.0]), names, kind="linear")

    _, answer = ask(function, "mixed", entity_id="UA", entities=FLIGHT)
    assert (answer["prediction"], answer["entity_id"]) == (701.0, "UA")
    _, answer = ask(function, "mixed", entity_id={"carrier": "UA", **FLIGHT})
    assert (answer["prediction"], answer["entity_id"]) == (701.0, "UA")
    _, answer = ask(function, "mixed", entities={"carrier": "UA", **FLIGHT})
    assert answer["prediction"] == 701.0
    status, problem = ask(function, "mixed", entity_id="UA")
    assert (status, problem["errors"][0]["loc"]) == (422, "entities.origin")


def test_the_keys_of_a_composite_entity_may_be_the_roles(
    airports: World, function: Function
) -> None:
    airports.view("routes", {"flights": "float64"}, ["origin", "destination"])
    airports.store.write("routes", [{"entity_id": ["JFK", "LAX"], "features": {"flights": 3.0}}])
    names = ["routes:flights", *BOTH]
    airports.serve("routes", linear([1000.0, 1.0, 100.0]), names, kind="linear")

    assert ask(function, "routes", entity_id=["JFK", "LAX"])[1]["prediction"] == 3201.0
    assert ask(function, "routes", entity_id=FLIGHT)[1]["prediction"] == 3201.0


def test_one_role_needs_no_name(airports: World, function: Function) -> None:
    airports.serve("one", linear([1.0]), ["weather@origin:temp"], kind="linear")
    assert ask(function, "one", entity_id="LAX")[1]["prediction"] == 2.0
    assert ask(function, "one", entities={"origin": "LAX"})[1]["prediction"] == 2.0


def test_a_view_may_be_read_with_and_without_a_role(airports: World, function: Function) -> None:
    names = ["weather:temp", "weather@destination:temp"]
    airports.serve("either", linear(WEIGHTS), names, kind="linear")
    _, answer = ask(
        function, "either", entity_id="JFK", entities={"destination": "LAX"}, return_features=True
    )
    assert answer["prediction"] == 201.0
    assert answer["features"] == {"weather:temp": 1.0, "weather@destination:temp": 2.0}
    _, answer = ask(
        function,
        "either",
        entity_id="JFK",
        entities={"destination": "LAX"},
        feature_view="weather",
        features={"temp": 7.0},
    )
    assert answer["prediction"] == 207.0


@pytest.mark.usefixtures("airports")
def test_the_v2_protocol_takes_entities_as_a_parameter(function: Function) -> None:
    path = {"model": "m"}
    status, answer = function(INFER, path, {"parameters": {"entities": FLIGHT}})
    assert status == 200, answer
    assert answer["outputs"][0]["data"] == [201.0]
    for wrong in ("JFK", {"origin": True}, {"origin": ""}, {f"r{n}": "x" for n in range(17)}):
        assert function(INFER, path, {"parameters": {"entities": wrong}})[0] == 400


def test_the_same_ids_get_the_same_version(airports: World, function: Function) -> None:
    """Whether as one object or apart, in any order, and by the protocol of either route."""
    airports.register("m", linear([0.0, 0.0]), BOTH[::-1], kind="linear")
    airports.registry.set_split("m", {"v1": 0.5, "v2": 0.5}, by())
    versions = set()
    for n in range(40):
        flight = {"origin": f"A{n}", "destination": "LAX"}
        airports.write("weather", {f"A{n}": {"temp": 1.0}})
        turned = dict(reversed(flight.items()))
        named = airports.engine.entities("m", [flight])
        many = airports.engine.predict_columns("m", named.entities)
        found = [
            ask(function, entities=flight)[1]["version"],
            ask(function, entities=turned)[1]["version"],
            ask(function, entity_id=flight)[1]["version"],
            function(INFER, {"model": "m"}, {"parameters": {"entities": flight}})[1][
                "model_version"
            ],
            many.versions[many.version[0]],
        ]
        assert len(set(found)) == 1
        versions |= set(found)
    assert versions == {"v1", "v2"}


def test_registration_checks_roles(airports: World) -> None:
    airports.view("pairs", {"clicks": "float64"}, ["user", "item"])
    for names, loc, said in [
        (["pairs@buyer:clicks"], "features.0", "a role stands for one id"),
        (["weather@origin:rain"], "features.0", "rain is not a feature of weather"),
        (["rain@origin:temp"], "features.0", "there is no feature view rain"),
        ([f"weather@r{n}:temp" for n in range(17)], "features", "16 roles at most"),
    ]:
        with pytest.raises(Invalid) as raised:
            airports.register("x", linear([1.0] * len(names)), names, kind="linear")
        assert raised.value.errors[0].loc == loc
        assert said in raised.value.errors[0].msg


def test_what_was_trained_is_what_is_served(airports: World, function: Function) -> None:
    """A service keeps its order and its version, whatever becomes of the service."""
    airports.services.put("flight", ServiceSpec(features=BOTH))
    airports.services.put("flight", ServiceSpec(features=BOTH[::-1]))
    old = airports.serve("by-service", linear(WEIGHTS), ["service:flight@1"], kind="linear")
    assert [ref.label for ref in old.features] == BOTH
    assert old.feature_services == ("flight@1",)
    assert ask(function, "by-service", entities=FLIGHT)[1]["prediction"] == 201.0

    airports.services.delete("flight")
    assert ask(function, "by-service", entities=FLIGHT)[1]["prediction"] == 201.0
    assert airports.registry.version("by-service", "v1").feature_services == ("flight@1",)


def test_a_service_stands_among_other_inputs(airports: World, function: Function) -> None:
    airports.services.put("flight", ServiceSpec(features=BOTH))
    names = ["request:bias", "service:flight", "weather@origin:wind"]
    weights = linear([1000.0, 1.0, 100.0, 0.1])
    version = airports.serve("m2", weights, names, kind="linear")
    assert [ref.label for ref in version.features] == ["request:bias", *BOTH, "weather@origin:wind"]
    assert version.feature_services == ("flight@1",)
    _, answer = ask(function, "m2", entities=FLIGHT, features={"bias": 1.0})
    assert answer["prediction"] == pytest.approx(1201.3)

    for wrong, loc, said in [
        (
            ["service:flight", "weather@origin:temp"],
            "features.1",
            "listed twice, also by features.0",
        ),
        (["service:none"], "features.0", "there is no feature service none"),
        (["service:flight@2"], "features.0", "has no version 2; its newest is 1"),
    ]:
        with pytest.raises(Invalid) as raised:
            airports.register("x", weights, wrong, kind="linear")
        assert raised.value.errors[0].loc == loc
        assert said in raised.value.errors[0].msg
    with pytest.raises(ValueError, match="a default is of one feature"):
        airports.register("x", weights, [{"feature": "service:flight", "default": 1.0}])
