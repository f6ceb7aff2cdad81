"""The catalog: what may change, who wins a race, what is served while the table is down."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from neuralstream_core.errors import Conflict, Invalid, NotFound, Unavailable
from neuralstream_core.features import Catalog, Dtype, Feature, OnlineStore, ViewRead, ViewSpec
from neuralstream_core.redis import RedisPort
from neuralstream_core.table import Item, Table
from tests.support.features import Clock


def spec(
    *names: str, entity: str | list[str] = "id", dtype: str = "int64", **more: Any
) -> ViewSpec:
    return ViewSpec(
        entity=entity, features=[Feature(name=name, dtype=dtype) for name in names], **more
    )


class Watched(Table):
    """A table whose reads are counted, and which can be unreachable."""

    def __init__(self, table: Table, client: Any) -> None:
        super().__init__(client, table.name)
        self.reads = 0
        self.down = False

    def get(self, pk: str, sk: str, *, consistent: bool = True) -> Item | None:
        self.reads += 1
        if self.down:
            raise Unavailable("unreachable", dependency="registry")
        return super().get(pk, sk, consistent=consistent)


@pytest.fixture
def watched(table: Table, aws: Any) -> Watched:
    return Watched(table, aws.client("dynamodb"))


@pytest.fixture
def catalog(table: Table, clock: Clock) -> Catalog:
    return Catalog(table, "test", clock)


def test_a_view_keeps_what_was_declared(catalog: Catalog, table: Table, clock: Clock) -> None:
    declared = ViewSpec(
        entity=["user", "shop"],
        features=[
            Feature(name="age", dtype="int64", description="in years", default=18),
            Feature(name="embedding", dtype="float32", shape=[3], default=[0.5, 0.0, 1e-30]),
            Feature(name="seen", dtype="timestamp", default="2026-01-01T00:00:00Z"),
        ],
        ttl_seconds=60,
        description="what we know",
        owner="team-a",
        tags={"tier": "gold"},
    )
    created, new = catalog.put("profile", declared)
    assert new
    found = Catalog(table, "test", clock).get("profile")
    assert found == created
    assert found.keys == ("user", "shop")
    assert found.feature("embedding").default == [0.5, 0.0, 1e-30]
    assert (found.ttl_seconds, found.owner, found.tags) == (60, "team-a", {"tier": "gold"})
    assert found.feature("age").dtype is Dtype.INT64


def test_the_same_declaration_again_changes_nothing(catalog: Catalog) -> None:
    first, _ = catalog.put("view", spec("a"))
    again, new = catalog.put("view", spec("a"))
    assert not new
    assert again == first


def test_added_features_come_last_whatever_their_order_in_the_request(catalog: Catalog) -> None:
    catalog.put("view", spec("b", "a"))
    view, _ = catalog.put("view", spec("z", "a", "c", "b"))
    assert view.names == ("b", "a", "z", "c")
    assert view.schema_version == 2
    view, _ = catalog.put("view", spec("z", "a", "c", "b", ttl_seconds=5, description="new"))
    assert (view.schema_version, view.ttl_seconds, view.description) == (2, 5, "new")


@pytest.mark.parametrize(
    "changed",
    [
        spec("a"),
        spec("a", "c"),
        spec("a", "b", dtype="float64"),
        spec("a", "b", entity="other"),
        spec("a", "b", entity=["id", "other"]),
        ViewSpec(
            entity="id",
            features=[
                Feature(name="a", dtype="int64", shape=[1]),
                Feature(name="b", dtype="int64"),
            ],
        ),
    ],
)
def test_what_would_break_readers_is_a_conflict(catalog: Catalog, changed: ViewSpec) -> None:
    before, _ = catalog.put("view", spec("a", "b"))
    with pytest.raises(Conflict):
        catalog.put("view", changed)
    assert catalog.fetch("view") == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"entity": "id", "features": []},
        {"entity": [], "features": [{"name": "a", "dtype": "int64"}]},
        {"entity": ["x", "x"], "features": [{"name": "a", "dtype": "int64"}]},
        {"entity": "id", "features": [{"name": "a", "dtype": "int64"}] * 2},
        {"entity": "id", "features": [{"name": "a", "dtype": "int32"}]},
        {"entity": "id", "features": [{"name": "a", "dtype": "string", "shape": [2]}]},
        {"entity": "id", "features": [{"name": "a", "dtype": "int64", "shape": [0]}]},
        {"entity": "id", "features": [{"name": "a", "dtype": "int64", "shape": [2, 2]}]},
        {"entity": "id", "features": [{"name": "a", "dtype": "int64", "default": 0.5}]},
        {"entity": "id", "features": [{"name": "a*", "dtype": "int64"}]},
        {"entity": "id", "features": [{"name": "a", "dtype": "int64"}], "ttl_seconds": 0},
        {"entity": "id", "features": [{"name": "a", "dtype": "int64"}], "ttl": 5},
        {"entity": "id", "features": [{"name": n, "dtype": "float64", "shape": [4096]} for n in "abc"]},
    ],
)  # fmt: skip
def test_a_declaration_that_makes_no_sense_is_refused(functions: Any, wrong: Any) -> None:
    reply = functions.call("PUT /features/views/{name}", path={"name": "view"}, body=wrong)
    assert reply.status == 422
    assert reply.body["errors"]


@pytest.mark.parametrize("name", ["views", "request", "service"])
def test_some_names_are_reserved(catalog: Catalog, name: str) -> None:
    with pytest.raises(Invalid) as raised:
        catalog.put(name, spec("a"))
    assert raised.value.code == "reserved_name"


def test_racing_changes_are_judged_one_after_another(table: Table, clock: Clock) -> None:
    """Eight callers each add their own feature to what they know: one is first, seven would remove it."""
    Catalog(table, "test", clock).put("view", spec("a"))
    start = threading.Barrier(8)

    def add(name: str) -> bool:
        catalog = Catalog(table, "test", clock)
        start.wait()
        try:
            catalog.put("view", spec("a", name))
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(add, "bcdefghi"))
    assert sum(won) == 1
    view = Catalog(table, "test", clock).get("view")
    assert view.schema_version == 2
    assert view.names == ("a", "bcdefghi"[won.index(True)])


def test_racing_creators_make_one_view(table: Table, clock: Clock) -> None:
    start = threading.Barrier(8)

    def create(_: int) -> tuple[str, bool]:
        catalog = Catalog(table, "test", clock)
        start.wait()
        view, new = catalog.put("view", spec("a"))
        return view.generation, new

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(create, range(8)))
    assert len({generation for generation, _ in made}) == 1
    assert sum(new for _, new in made) == 1


def test_views_are_listed_page_by_page(catalog: Catalog) -> None:
    names = [f"view-{i:02}" for i in range(7)]
    for name in reversed(names):
        catalog.put(name, spec("a"))
    found: list[str] = []
    token = None
    while True:
        page = catalog.list(limit=3, token=token)
        assert len(page.views) <= 3
        found += [view.name for view in page.views]
        if (token := page.next_token) is None:
            break
    assert found == names


def test_rows_are_read_without_asking_the_table(
    watched: Watched, redis_port: RedisPort, clock: Clock
) -> None:
    store = OnlineStore(
        redis_port, Catalog(watched, "test", clock, refresh_seconds=3600), clock, "test"
    )
    store.catalog.put("view", spec("a"))
    store.write("view", [{"entity_id": "u", "features": {"a": 1}}])
    watched.reads = 0
    for _ in range(50):
        store.write("view", [{"entity_id": "u", "features": {"a": 1}}])
        store.read_one("view", "u")
        store.read_rows([ViewRead("view", "u")])
    assert watched.reads == 0


def test_a_change_made_elsewhere_arrives_with_the_next_refresh(
    watched: Watched, table: Table, clock: Clock
) -> None:
    near = Catalog(watched, "test", clock, refresh_seconds=0)
    far = Catalog(table, "test", clock)
    far.put("view", spec("a"))
    first = near.get("view")
    assert near.get("view") is first
    far.put("view", spec("a", "b"))
    assert near.get("view").names == ("a", "b")


def test_while_the_table_is_down_the_last_known_view_serves(
    watched: Watched, redis_port: RedisPort, clock: Clock
) -> None:
    store = OnlineStore(
        redis_port, Catalog(watched, "test", clock, refresh_seconds=0), clock, "test"
    )
    store.catalog.put("view", spec("a"))
    watched.down = True
    assert store.write("view", [{"entity_id": "u", "features": {"a": 1}}]).written == 1
    assert store.read_one("view", "u").values == (1,)
    reads = watched.reads
    for _ in range(20):
        store.read_one("view", "u")
        with pytest.raises(NotFound):
            store.read_one("view", "nobody")
    assert watched.reads == reads  # an outage is not asked about with every request
    with pytest.raises(Unavailable):
        store.read_one("never-seen", "u")


def test_a_row_may_hold_many_features(catalog: Catalog) -> None:
    view, _ = catalog.put("wide", spec(*[f"f{i}" for i in range(1000)]))
    assert len(view.features) == 1000
