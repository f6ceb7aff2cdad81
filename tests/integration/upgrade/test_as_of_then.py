"""What 0.1.0 stored, read at the moment at which it answered: values that expire, predictions, counters."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from neuralstream_core.features import Catalog, OnlineStore
from neuralstream_core.keys.decision import Gate
from neuralstream_core.keys.store import KeyStore
from neuralstream_core.monitoring.baseline import Adoptions
from neuralstream_core.monitoring.evaluation import Alarms, Evaluation
from neuralstream_core.monitoring.layout import HOUR, MINUTE, named_window
from neuralstream_core.monitoring.profile import ProfileCache
from neuralstream_core.monitoring.reader import Archive, CounterReader
from neuralstream_core.monitoring.recorder import RedisRecorder
from neuralstream_core.monitoring.reports import Reports
from neuralstream_core.redis import RedisPort
from neuralstream_core.registry.artifacts import ArtifactStore
from neuralstream_core.registry.registry import Registry
from neuralstream_core.serving.deployments import Deployments
from neuralstream_core.serving.engine import Engine
from neuralstream_core.serving.models import DiskCache, Models
from neuralstream_core.serving.requests import answer_json
from neuralstream_core.table import Table
from tests.support.features import LibraryDoor
from tests.support.release_0_1 import NAMESPACE, Dump, less

MODELS = ("old_churn", "old_delay", "old_weather_delay", "old_linear")


@dataclass
class Then:
    """The parts of this release on the dump, under a clock that stands where 0.1.0 was asked last."""

    dump: Dump
    table: Table
    port: RedisPort
    s3: Any
    bucket: str
    folder: Path

    def __post_init__(self) -> None:
        self.now = self.dump.at
        self.registry = Registry(self.table, NAMESPACE, self.clock)
        self.artifacts = ArtifactStore(self.s3, self.bucket)
        self.profiles = ProfileCache(self.artifacts.get_profile)
        self.archive = Archive(self.s3, self.bucket, NAMESPACE)
        self.reader = CounterReader(self.port, NAMESPACE, self.archive)
        self.alarms = Alarms(self.table, NAMESPACE)
        self.reports = Reports(
            self.registry, self.reader, self.profiles, self.alarms, clock=self.clock
        )
        catalog = Catalog(self.table, NAMESPACE, self.clock)
        self.store = OnlineStore(self.port, catalog, self.clock, NAMESPACE)
        self.recorder = RedisRecorder(self.port, self.profiles, NAMESPACE, self.clock)
        self.engine = Engine(
            Deployments(self.registry.served, self.registry.version, soft=0.0, hard=0.0),
            Models(self.artifacts.get, DiskCache(self.folder)),
            self.store,
            self.recorder,
            self.clock,
        )

    def clock(self) -> int:
        return self.now

    def stats(self, model: str) -> Any:
        found = self.reports.stats(model, named_window("24h", self.now))
        return json.loads(found.model_dump_json())


@pytest.fixture
def then(table, table_name, redis_port, s3, bucket, aws, tmp_path) -> Then:
    dump = Dump()
    dump.fill_table(aws.client("dynamodb"), table_name)
    dump.fill_bucket(s3, bucket)
    dump.fill_redis(redis_port)
    return Then(dump, table, redis_port, s3, bucket, tmp_path)


def test_values_and_their_statuses_are_those_of_then(then: Then) -> None:
    asked = then.dump.asked(lambda each: each.path == "/features/batch")
    door = LibraryDoor(then.store)
    statuses = set()
    for each in asked:
        view, entities = each.body["feature_view"], each.body["entity_ids"]
        found = json.loads(json.dumps(door.batch(view, entities).body))
        assert list(less(each.answer, found)) == []
        statuses |= {status for row in each.answer["results"] for status in row["status"].values()}
    assert statuses == {"NULL", "EXPIRED", "NOT_FOUND"}
    then.now += 3600 * 1_000_000
    row = door.batch("old_short", ["fresh"]).body["results"][0]
    assert set(row["status"].values()) == {"EXPIRED"}


def test_predictions_from_values_that_expire_are_those_of_then(then: Then) -> None:
    asked = then.dump.asked(
        lambda each: each.path in ("/predict/old_delay", "/predict/old_weather_delay")
    )
    for each in asked:
        features = each.body.pop("return_features", False)
        found = then.engine.predict(
            each.path.split("/")[2], each.body.pop("entity_id"), **each.body
        )
        wrong = less(each.answer, json.loads(answer_json(found, features=features)))
        assert [line for line in wrong if not line.startswith(("latency_ms", "timestamp"))] == []


@pytest.mark.parametrize("where", ["cache", "archive"])
def test_counters_of_the_hour_are_those_of_then(then: Then, where: str) -> None:
    if where == "archive":
        then.now += HOUR
        then.dump.clear_redis(then.port)
    for model in MODELS:
        old = then.dump.answer(f"/monitoring/stats?model={model}&window=24h")
        wrong = [line for line in less(old, then.stats(model)) if not line.startswith("window")]
        assert wrong == []


def test_drift_is_judged_as_then_and_goes_on(then: Then) -> None:
    path = "/monitoring/drift?model=old_weather_delay&window=24h"
    old = then.dump.answer(path)
    report = then.reports.drift("old_weather_delay", None, named_window("24h", then.now))
    found = json.loads(report.model_dump_json())
    assert found["status"] == old["status"] == "drift"
    was = {
        each["feature"]: (each["status"], each["psi"], each["n_current"]) for each in old["series"]
    }
    now = {
        each["feature"]: (each["status"], each["psi"], each["n_current"])
        for each in found["series"]
    }
    assert was.items() <= now.items()
    # 0.1.0 had judged the hour; a second one that drifts raises the alarm
    assert then.alarms.get("old_weather_delay", "v1") is not None
    assert then.alarms.get("old_delay", "v1") is None  # too few rows to be judged
    then.now += HOUR
    columns = {
        f"old_weather:{name}": [400.0] * 300
        for name in ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")
    }
    then.engine.predict_columns(
        "old_weather_delay", [f"e{n}" for n in range(300)], overrides=columns
    )
    then.now += HOUR + 3 * MINUTE
    evaluation = Evaluation(
        then.registry, then.reader, then.profiles, then.alarms, clock=then.clock,
        emit=lambda *_: None,
    )  # fmt: skip
    evaluation.run()
    alarm = then.alarms.get("old_weather_delay", "v1")
    assert alarm is not None
    assert alarm.status == "drift"


def test_a_baseline_that_is_collected_is_completed(then: Then) -> None:
    """0.1.0 had been asked to make one of the next 200 rows, and had opened the list of them."""
    assert then.registry.version("old_churn", "v1").profile is None
    entities = [f"c{number % 20}" for number in range(220)]
    for some in (
        entities[:1],
        entities,
    ):  # with the first one the recorder looks whether there is a list
        then.engine.predict_columns("old_churn", some, feature_view="old_customer_features")
    adoptions = Adoptions(then.table, NAMESPACE, then.clock)
    adoptions.run(["old_churn"], then.port, then.registry, then.artifacts.put_profile)
    assert then.registry.version("old_churn", "v1").profile is not None


def test_keys_open_what_they_opened(then: Then, aws, table_name) -> None:
    then.dump.fill_table(aws.client("dynamodb"), table_name, "keys")
    gate = Gate(KeyStore(then.table, then.clock).find, clock=then.clock)
    verdicts = {name: gate.decide(key).verdict for name, key in then.dump.keys.items()}
    assert verdicts == {"all": "active", "reads": "active", "ends": "active", "revoked": "ended"}
    record = gate.decide(then.dump.keys["reads"]).record
    assert record is not None
    assert (record.principal, record.scopes) == ("ben", {"features:read"})
    then.now += 2 * HOUR
    assert gate.decide(then.dump.keys["ends"]).verdict == "ended"
