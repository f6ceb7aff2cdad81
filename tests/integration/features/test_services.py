"""Feature services: versions, races, and what their views may become meanwhile."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from neuralstream_core.errors import Conflict, Invalid, NotFound
from neuralstream_core.features import Catalog, Feature, ViewSpec
from neuralstream_core.features.services import FeatureServices, ServiceSpec
from neuralstream_core.table import Table
from tests.support.features import Clock

PUT = "PUT /feature-services/{name}"
GET = "GET /feature-services/{name}"
DELETE = "DELETE /feature-services/{name}"
LIST = "GET /feature-services"


@pytest.fixture
def catalog(table: Table, clock: Clock) -> Catalog:
    catalog = Catalog(table, "test", clock)
    for name in ("weather", "users"):
        spec = ViewSpec(
            entity="id", features=[Feature(name=n, dtype="float64") for n in "abcdefgh"]
        )
        catalog.put(name, spec)
    return catalog


@pytest.fixture
def services(table: Table, clock: Clock, catalog: Catalog) -> FeatureServices:
    return FeatureServices(table, "test", clock, catalog)


def spec(*features: str, **more: Any) -> ServiceSpec:
    return ServiceSpec(features=list(features), **more)


def test_another_list_is_another_version(services: FeatureServices) -> None:
    first, created = services.put("churn", spec("users:a", "weather@origin:b"))
    assert (first.version, created) == (1, True)
    again, created = services.put("churn", spec("users:a", "weather@origin:b"))
    assert (again, created) == (first, False)
    turned, created = services.put("churn", spec("weather@origin:b", "users:a"))
    assert (turned.version, created) == (2, True)
    back, _ = services.put("churn", spec("users:a", "weather@origin:b"))
    assert back.version == 3
    assert services.fetch("churn") == back
    assert services.fetch("churn", 1) == first
    assert services.fetch("churn", 2).features == ("weather@origin:b", "users:a")


def test_a_description_makes_no_version(services: FeatureServices) -> None:
    services.put("churn", spec("users:a"))
    found, created = services.put("churn", spec("users:a", description="who leaves"))
    assert (found.version, found.description, created) == (1, "who leaves", False)
    assert services.fetch("churn").description == "who leaves"


def test_what_is_not_there_is_not_found(services: FeatureServices) -> None:
    services.put("churn", spec("users:a"))
    for name, version in (("other", None), ("other", 1), ("churn", 2)):
        with pytest.raises(NotFound) as raised:
            services.fetch(name, version)
        assert raised.value.code == "service_not_found"


@pytest.mark.parametrize(
    ("feature", "said"),
    [
        ("other:a", "there is no feature view other"),
        ("users:z", "z is not a feature of users"),
        ("users:a", "listed twice"),
        ("service:churn@1", "not other services"),
        ("request:amount", "features of views"),
        ("a", "must be view:feature"),
    ],
)
def test_a_feature_that_cannot_be_served_is_named(
    services: FeatureServices, feature: str, said: str
) -> None:
    with pytest.raises(Invalid) as raised:
        services.put("new", spec("users:a", feature))
    (place,) = raised.value.errors
    assert place.loc == "features.1"
    assert said in place.msg
    with pytest.raises(NotFound):
        services.fetch("new")


def test_a_role_needs_a_view_of_one_key(services: FeatureServices, catalog: Catalog) -> None:
    catalog.put("pairs", ViewSpec(entity=["x", "y"], features=[Feature(name="a", dtype="int64")]))
    assert services.put("plain", spec("pairs:a"))[0].version == 1
    with pytest.raises(Invalid, match="a role stands for one id, and pairs has the keys x, y"):
        services.put("role", spec("pairs@buyer:a"))


def test_racing_lists_get_dense_versions(table: Table, clock: Clock, catalog: Catalog) -> None:
    start = threading.Barrier(8)

    def put(name: str) -> int:
        services = FeatureServices(table, "test", clock, Catalog(table, "test", clock))
        start.wait()
        return services.put("churn", spec(f"users:{name}"))[0].version

    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(put, "abcdefgh"))
    assert sorted(versions) == list(range(1, 9))
    services = FeatureServices(table, "test", clock, catalog)
    for name, version in zip("abcdefgh", versions, strict=True):
        assert services.fetch("churn", version).features == (f"users:{name}",)


def test_racing_equal_lists_are_one_version(table: Table, clock: Clock, catalog: Catalog) -> None:
    start = threading.Barrier(8)

    def put(_: int) -> tuple[int, bool]:
        services = FeatureServices(table, "test", clock, catalog)
        start.wait()
        service, created = services.put("churn", spec("users:a"))
        return service.version, created

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(put, range(8)))
    assert sorted(found) == [(1, False)] * 7 + [(1, True)]


def test_a_view_stays_while_the_newest_version_lists_it(
    services: FeatureServices, catalog: Catalog
) -> None:
    services.put("churn", spec("users:a", "weather:b"))
    for name in ("users", "weather"):
        with pytest.raises(Conflict, match=f"view {name} is used by service:churn") as raised:
            catalog.begin_delete(name)
        assert raised.value.code == "view_in_use"

    services.put("churn", spec("users:a"))
    catalog.begin_delete("weather")
    with pytest.raises(Conflict):
        catalog.begin_delete("users")
    assert services.fetch("churn", 1).features == ("users:a", "weather:b")
    services.delete("churn")
    catalog.begin_delete("users")


def test_a_view_that_is_being_deleted_cannot_be_listed(
    services: FeatureServices, catalog: Catalog
) -> None:
    catalog.begin_delete("weather")
    with pytest.raises(Invalid, match="there is no feature view weather"):
        services.put("churn", spec("weather:a"))


def test_views_and_services_race(table: Table, clock: Clock, catalog: Catalog) -> None:
    """Of a deletion and a service that lists the view, one is refused."""
    for attempt in range(10):
        name = f"view{attempt}"
        catalog.put(name, ViewSpec(entity="id", features=[Feature(name="a", dtype="int64")]))
        start = threading.Barrier(2)

        def delete(name: str = name, start: threading.Barrier = start) -> bool:
            start.wait()
            try:
                Catalog(table, "test", clock).begin_delete(name)
            except Conflict:
                return False
            return True

        def put(name: str = name, start: threading.Barrier = start) -> bool:
            own = FeatureServices(table, "test", clock, Catalog(table, "test", clock))
            start.wait()
            try:
                own.put(f"service-of-{name}", spec(f"{name}:a"))
            except Invalid:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            done = [future.result() for future in (pool.submit(delete), pool.submit(put))]
        assert sum(done) == 1


def test_numbers_are_never_used_again(services: FeatureServices) -> None:
    services.put("churn", spec("users:a"))
    assert services.delete("churn").version == 1
    for version in (None, 1):
        with pytest.raises(NotFound):
            services.fetch("churn", version)
    with pytest.raises(NotFound):
        services.delete("churn")
    assert services.list().services == []
    service, created = services.put("churn", spec("users:a"))
    assert (service.version, created) == (2, True)
    assert [found.version for found in services.list().services] == [2]


def test_services_over_http(functions: Any) -> None:
    features = [{"name": "temp", "dtype": "float64"}]
    view = {"entity": "airport", "features": features}
    functions.call("PUT /features/views/{name}", path={"name": "weather"}, body=view)
    body = {"features": ["weather@origin:temp"], "description": "at the origin"}

    made = functions.call(PUT, path={"name": "flight"}, body=body)
    assert (made.status, made.body["version"]) == (201, 1)
    assert functions.call(PUT, path={"name": "flight"}, body=body).status == 200
    longer = {"features": ["weather@origin:temp", "weather@destination:temp"]}
    assert functions.call(PUT, path={"name": "flight"}, body=longer).body["version"] == 2
    assert functions.call(PUT, path={"name": "arrival"}, body=body).status == 201

    newest = functions.call(GET, path={"name": "flight"})
    assert newest.body["features"] == longer["features"]
    first = functions.call(GET, path={"name": "flight"}, query={"version": "1"})
    assert first.body == made.body
    page = functions.call(LIST, query={"limit": "1"})
    assert [service["name"] for service in page.body["services"]] == ["arrival"]
    rest = functions.call(LIST, query={"next_token": page.body["next_token"]})
    assert [(s["name"], s["version"]) for s in rest.body["services"]] == [("flight", 2)]

    refused = functions.call(PUT, path={"name": "x"}, body={"features": ["weather:rain"]})
    assert (refused.status, refused.body["errors"][0]["loc"]) == (422, "features.0")
    assert functions.call(PUT, path={"name": "x"}, body={"features": []}).status == 422
    held = functions.call("DELETE /features/views/{name}", path={"name": "weather"})
    assert (held.status, held.body["code"]) == (409, "view_in_use")
    assert functions.call(DELETE, path={"name": "arrival"}).body == {
        "name": "arrival",
        "version": 1,
    }
    missing = functions.call(GET, path={"name": "arrival"})
    assert (missing.status, missing.body["code"]) == (404, "service_not_found")
