"""A shadow sees the traffic and never answers: nothing that it does or fails to do reaches the caller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neuralstream_core.errors import Invalid
from neuralstream_core.features import Catalog, OnlineStore
from neuralstream_core.monitoring.observation import Failed
from neuralstream_core.registry.records import VersionRecord
from neuralstream_core.registry.requests import LogSpec, ModelEdit
from neuralstream_core.registry.rollout_commands import Rollouts
from neuralstream_core.serving.engine import Engine
from neuralstream_core.serving.models import Models
from neuralstream_core.serving.servable import Servable
from neuralstream_core.serving.shadowing import PAUSE, Shadows
from neuralstream_core.time import system_clock
from tests.integration.serving.conftest import World, by
from tests.integration.serving.test_prediction_ids import FEATURES, rows
from tests.support.jobs import linear
from tests.support.poll import eventually


class Counted(OnlineStore):
    """Counts its flights."""

    flights = 0

    def read_rows(self, reads: Any) -> Any:
        self.flights += 1
        return super().read_rows(reads)

    def read_blocks(self, reads: Any) -> Any:
        self.flights += 1
        return super().read_blocks(reads)


class Fails:
    """A runtime whose runs raise."""

    def __init__(self, error: Exception) -> None:
        self.error, self.runs = error, 0

    def run(self, _inputs: Mapping[str, Any], _seconds: float | None = None) -> Any:
        self.runs += 1
        raise self.error


class Odd(Models):
    """Models of which one version is run by another runtime."""

    odd: Any = None

    def get(self, version: VersionRecord) -> Servable:
        servable = super().get(version)
        if version.version != "v2" or self.odd is None:
            return servable
        return replace(servable, runtime=self.odd)


class Shaded:
    """v1 in production and v2 in its shadow, on an engine that has shadows."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.now = 0.0
        world.store = self.store = Counted(world.port, world.catalog, system_clock, "test")
        self.models = Odd(world.artifacts.get)
        self.shadows = Shadows(self.models, self.prepared, system_clock, lambda: self.now)
        self.versions: list[str] = []
        self.engine = Engine(
            world.deployments, self.models, self.store, world.recorder, system_clock, self.shadows
        )
        world.serve("m", linear([1.0, 10.0], 0.5), FEATURES, kind="linear")

    def prepared(self, _model: str, version: str, *_more: Any) -> None:
        self.versions.append(version)

    def shade(self, features: Any = FEATURES, sample: float = 1.0, **more: Any) -> None:
        """Register v2, which answers with a hundred more, and make it the shadow."""
        coef = [1.0] * (len(features) - 1) + [10.0]
        self.world.register("m", linear(coef, 100.0), features, kind="linear", **more)
        Rollouts(self.world.registry).set_shadow("m", "v2", sample, by())

    def load(self) -> None:
        """The first request goes without the shadow, which is loaded meanwhile."""
        self.engine.predict("m", "u1")
        assert self.seen().shadow is None
        eventually(lambda: self.versions == ["v2~"])
        self.store.flights = 0

    def seen(self) -> Any:
        """What monitoring was told of the last request."""
        (last,) = self.world.recorder.observations
        self.world.recorder.observations.clear()
        return last


@pytest.fixture
def shaded(world: World) -> Iterator[Shaded]:
    world.view("users", {"age": "int64", "spend": "float64", "visits": "int64"})
    world.view("shops", {"size": "float64"}, entity="user_id")
    world.write("users", {f"u{i}": {"age": i, "spend": i / 2, "visits": 7} for i in range(12)})
    world.write("shops", {f"u{i}": {"size": 2.0} for i in range(12)})
    yield Shaded(world)
    assert world.recorder.failures == []


def test_a_shadow_predicts_the_same_request_with_one_flight_and_is_logged_with_it(
    shaded: Shaded,
) -> None:
    shaded.shade()
    shaded.load()
    answer = shaded.engine.predict("m", "u4")
    assert (answer.servable.version.version, answer.answer.prediction) == ("v1", 24.5)
    assert shaded.store.flights == 1
    seen = shaded.seen()
    assert (seen.version, seen.prediction) == ("v1", 24.5)
    assert (seen.shadow.version, seen.shadow.prediction) == ("v2~", 124.0)
    assert not any((seen.shadow.cold, seen.shadow.pinned, seen.shadow.stale_routing))
    (logged,) = rows([entry.data for entry in seen.shadow.log]).items()
    of = answer.id
    assert logged[0] == of.replace(":v1:", ":v2:")
    assert (logged[1]["shadow"], logged[1]["of"], logged[1]["entity"]) == (True, of, "u4")


def test_features_that_it_alone_reads_come_with_the_same_flight(shaded: Shaded) -> None:
    shaded.shade(["users:age", "users:visits", "shops:size"])
    shaded.load()
    assert shaded.engine.predict("m", "u4").answer.prediction == 24.5
    assert shaded.store.flights == 1
    assert shaded.seen().shadow.prediction == 4 + 7 + 20 + 100
    found = shaded.engine.predict_columns("m", ["u1", "u2"])
    assert found.prediction.tolist() == [6.5, 12.5]
    assert shaded.store.flights == 2
    assert shaded.seen().shadow.prediction.tolist() == [128.0, 129.0]


def test_rows_of_a_batch_are_seen_each_by_itself(shaded: Shaded) -> None:
    shaded.shade(sample=0.5)
    shaded.load()
    asked = [f"u{i % 12}" for i in range(200)]
    found = shaded.engine.predict_columns("m", [*asked, "nobody"])
    assert list(found.errors) == [200]
    seen = shaded.seen().shadow
    logged = rows([entry.data for entry in seen.log])
    assert 60 < len(logged) == seen.rows < 140
    for name, row in logged.items():
        number = int(name.rpartition(":")[2])
        assert row["value"] == found.prediction[number] + 99.5
        assert row["of"] == name.replace(":v2:", ":v1:")
    assert seen.errors is None


def test_the_answers_are_the_same_as_without_a_shadow(shaded: Shaded) -> None:
    asked = [f"u{i}" for i in range(12)]
    plain = shaded.engine.predict_columns("m", asked).prediction.tolist()
    shaded.world.recorder.observations.clear()
    defaults = [{"feature": name, "default": 5} for name in FEATURES]
    shaded.shade(missing="default", features=defaults)
    shaded.load()
    overrides = {"age": [None, *range(1, 12)]}
    with_none = shaded.engine.predict_columns("m", asked, overrides=overrides)
    assert list(with_none.errors) == [0]
    assert with_none.prediction.tolist()[1:] == plain[1:]
    assert shaded.seen().shadow.rows == 11


def test_a_split_shares_one_shadow(shaded: Shaded) -> None:
    shaded.shade()
    shaded.world.register("m", linear([1.0, 10.0], 0.7), FEATURES, kind="linear")
    shaded.world.registry.set_split("m", {"v1": 0.5, "v3": 0.5}, by())
    shaded.load()
    found = shaded.engine.predict_columns("m", [f"u{i % 12}" for i in range(50)])
    assert {found.versions[at] for at in found.version} == {"v1", "v3"}
    first, second = shaded.world.recorder.observations
    assert (first.shadow.rows, second.shadow) == (50, None)
    served = {row["of"].split(":")[1] for row in rows([e.data for e in first.shadow.log]).values()}
    assert served == {"v1", "v3"}


def test_tensors_are_seen_too(shaded: Shaded) -> None:
    shaded.shade()
    shaded.load()
    tensors = {"input": np.array([[1.0, 2.0], [3.0, 4.0]])}
    found = shaded.engine.infer("m", lambda _: tensors)
    assert found.predictions.values.tolist() == [21.5, 43.5]
    shadow = shaded.seen().shadow
    assert shadow.prediction.tolist() == [121.0, 143.0]
    logged = rows([entry.data for entry in shadow.log])
    assert [row["of"] for row in logged.values()] == [f"{found.id}:0", f"{found.id}:1"]


def test_who_names_a_version_has_no_shadow(shaded: Shaded) -> None:
    shaded.shade()
    shaded.load()
    shaded.engine.predict("m", "u1", version="v1")
    assert shaded.seen().shadow is None
    shaded.engine.predict_columns("m", ["u1"], version="v1")
    assert shaded.seen().shadow is None


def test_without_a_shadow_nothing_is_asked_of_it(shaded: Shaded) -> None:
    shaded.shadows.of = None  # type: ignore[method-assign, assignment]  # a call would raise
    assert shaded.engine.predict("m", "u1").answer.prediction == 6.5
    assert shaded.engine.predict_columns("m", ["u1"]).prediction.tolist() == [6.5]
    assert shaded.store.flights == 2


@pytest.mark.parametrize(
    ("error", "code", "pauses"),
    [
        (RuntimeError("boom"), "shadow_failed", True),
        (Invalid("it took too long", code="inference_timeout"), "inference_timeout", True),
        (Invalid("the model refused", code="inference_failed"), "inference_failed", False),
    ],
)
def test_what_its_inference_raises_stays_with_it(
    shaded: Shaded, error: Exception, code: str, pauses: bool
) -> None:
    shaded.shade()
    shaded.load()
    shaded.models.odd = runtime = Fails(error)
    assert shaded.engine.predict("m", "u4").answer.prediction == 24.5
    assert shaded.seen().shadow == Failed("m", "v2~", code, 1)
    assert shaded.engine.predict("m", "u4").answer.prediction == 24.5
    assert (shaded.seen().shadow is None) == pauses
    shaded.now = PAUSE + 1
    tried = runtime.runs
    shaded.engine.predict_columns("m", ["u1", "u2"])
    assert runtime.runs > tried
    assert shaded.seen().shadow is not None


def test_features_that_only_it_lacks_are_an_error_of_it_alone(shaded: Shaded) -> None:
    shaded.world.write("users", {"new": {"age": 1, "spend": 1.0}})
    shaded.shade(["users:age", "users:visits", "users:spend"])
    shaded.load()
    assert shaded.engine.predict("m", "new").answer.prediction == 11.5
    assert shaded.seen().shadow == Failed("m", "v2~", "missing_features", 1)
    shaded.engine.predict_columns("m", ["new", "u1"])
    seen = shaded.seen()
    assert (seen.errors, seen.shadow.errors) == (None, {"missing_features": 1})


def test_a_view_that_only_it_reads_may_be_gone(shaded: Shaded) -> None:
    shaded.shade(["users:age", "users:spend", "shops:size"])
    shaded.load()
    world = shaded.world
    world.table.delete("VIEW#test#shops", "META")
    store = Counted(world.port, Catalog(world.table, "test", system_clock), system_clock, "test")
    engine = Engine(
        world.deployments, shaded.models, store, world.recorder, system_clock, shaded.shadows
    )
    assert engine.predict("m", "u4").answer.prediction == 24.5
    assert isinstance(shaded.seen().shadow, Failed)
    assert engine.predict_columns("m", ["u4"]).prediction.tolist() == [24.5]
    assert isinstance(shaded.seen().shadow, Failed)


def test_one_that_cannot_be_loaded_is_left_out_and_tried_again(
    shaded: Shaded, s3: Any, bucket: str
) -> None:
    shaded.shade()
    record = shaded.world.registry.version("m", "v2")
    (key,) = (
        entry["Key"]
        for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]
        if record.digest in entry["Key"]
    )
    kept = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    s3.delete_object(Bucket=bucket, Key=key)
    assert shaded.engine.predict("m", "u4").answer.prediction == 24.5
    eventually(lambda: shaded.shadows.resting(record))
    assert shaded.engine.predict("m", "u4").answer.prediction == 24.5
    s3.put_object(Bucket=bucket, Key=key, Body=kept)
    shaded.now = PAUSE + 1
    shaded.world.recorder.observations.clear()
    shaded.load()
    shaded.engine.predict("m", "u4")
    assert shaded.seen().shadow.prediction == 124.0


def test_one_for_which_there_is_no_memory_does_not_push_out_the_others(world: World) -> None:
    world.view("users", {"age": "int64", "spend": "float64"})
    world.write("users", {"u1": {"age": 1, "spend": 0.5}})
    shaded = Shaded(world)
    shaded.shade()
    served, record = (world.registry.version("m", name) for name in ("v1", "v2"))
    assert served.signature is not None
    footprint = served.signature.footprint
    room = served.size if footprint is None else footprint.loaded
    models = Models(world.artifacts.get, max_bytes=max(room, 1))
    shadows = Shadows(models, shaded.prepared, system_clock)
    engine = Engine(world.deployments, models, world.store, world.recorder, system_clock, shadows)
    assert engine.predict("m", "u1").answer.prediction == 6.5
    eventually(lambda: shadows.resting(record))
    assert models.loaded(record) is None
    assert models.loaded(served) is not None


def test_what_is_not_logged_of_the_answers_is_not_of_the_shadow(shaded: Shaded) -> None:
    shaded.shade()
    shaded.world.registry.edit_model("m", ModelEdit(log=LogSpec(sample=0.0)), by())
    shaded.load()
    shaded.engine.predict("m", "u4")
    seen = shaded.seen()
    assert (seen.log, seen.shadow.log) == ((), ())
