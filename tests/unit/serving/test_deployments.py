"""The few seconds of memory over the registry: never in the way, never wrong for long, never silent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from neuralstream_core.errors import Conflict, NotFound, Unavailable
from neuralstream_core.registry.records import (
    Format,
    ModelRecord,
    Stage,
    VersionRecord,
    VersionStatus,
)
from neuralstream_core.registry.registry import ServedModel
from neuralstream_core.serving.deployments import Deployments
from tests.support.poll import eventually

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def version(number: int, status: VersionStatus = VersionStatus.READY) -> VersionRecord:
    return VersionRecord(
        model="m",
        version=f"v{number}",
        status=status,
        stage=Stage.PRODUCTION,
        format=Format.LINEAR,
        digest="0" * 64,
        size=1,
        created_at=NOW,
        created_by="tests",
    )


@dataclass
class Registry:
    """Routing that a test steers, and a clock it moves."""

    production: int | None = 1
    split: dict[str, float] | None = None
    failure: Exception | None = None
    seconds: float = 0.0
    calls: int = 0
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def routing(self, model: str) -> ServedModel:
        self.calls += 1
        self.gate.wait(10)
        if self.failure is not None:
            raise self.failure
        production = None if self.production is None else f"v{self.production}"
        record = ModelRecord(
            name=model,
            production_version=production,
            ab_split=self.split,
            salt="s",
            created_at=NOW,
            updated_at=NOW,
        )
        return ServedModel(record, {f"v{i}": version(i) for i in range(1, 4)})

    def version(self, _model: str, name: str) -> VersionRecord:
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        if name == "v9":
            return version(9, VersionStatus.PENDING_UPLOAD)
        if name == "v8":
            return version(8)
        raise NotFound("no such version")

    def deployments(self, **more: float) -> Deployments:
        return Deployments(self.routing, self.version, now=lambda: self.seconds, **more)


def served(deployments: Deployments) -> str:
    return deployments.get("m").assigner.one("u1")


DOWN = Unavailable("down", dependency="registry")


def test_within_three_seconds_the_registry_is_asked_once() -> None:
    registry = Registry()
    deployments = registry.deployments()
    for _ in range(100):
        served(deployments)
        registry.seconds += 0.029
    assert registry.calls == 1


def test_a_promotion_is_served_within_ten_seconds_by_busy_and_by_sleeping_processes() -> None:
    registry = Registry()
    busy, sleeping = registry.deployments(), registry.deployments()
    assert served(busy) == served(sleeping) == "v1"
    registry.production = 2
    registry.seconds = 3.5
    assert served(busy) in ("v1", "v2")  # refreshed beside this request
    eventually(lambda: served(busy) == "v2")
    registry.seconds = 9.9
    assert served(sleeping) == "v2"  # waited for


def test_a_refresh_does_not_hold_up_a_busy_process() -> None:
    registry = Registry()
    deployments = registry.deployments()
    served(deployments)
    registry.gate.clear()
    registry.seconds = 4.0
    assert served(deployments) == "v1"
    assert not deployments.get("m").stale
    registry.gate.set()


def test_the_last_known_routing_goes_on_and_says_so() -> None:
    registry = Registry()
    deployments = registry.deployments()
    served(deployments)
    registry.failure = DOWN
    registry.seconds = 60.0
    assert served(deployments) == "v1"
    assert deployments.get("m").stale
    calls = registry.calls
    for _ in range(50):
        served(deployments)
    assert registry.calls == calls  # not with every request
    registry.failure, registry.production = None, 2
    registry.seconds += 1.1
    assert served(deployments) == "v2"
    assert not deployments.get("m").stale


def test_a_hanging_registry_costs_one_caller_its_patience() -> None:
    registry = Registry()
    deployments = registry.deployments(patience=0.05)
    served(deployments)
    registry.gate.clear()
    registry.seconds = 60.0
    assert served(deployments) == "v1"
    assert deployments.get("m").stale
    registry.gate.set()


def test_errors_are_not_kept() -> None:
    registry = Registry(failure=DOWN)
    deployments = registry.deployments()
    for _ in range(2):
        with pytest.raises(Unavailable, match="down"):
            deployments.get("m")
    registry.failure = NotFound("no such model")
    with pytest.raises(NotFound):
        deployments.get("m")
    registry.failure = None
    assert served(deployments) == "v1"


def test_a_model_that_is_gone_is_gone() -> None:
    registry = Registry()
    deployments = registry.deployments()
    served(deployments)
    registry.failure = NotFound("no such model")
    registry.seconds = 60.0
    with pytest.raises(NotFound):
        deployments.get("m")


def test_an_unexpected_failure_is_an_outage_not_a_hang() -> None:
    registry = Registry(failure=RuntimeError("?"))
    with pytest.raises(Unavailable, match="RuntimeError"):
        registry.deployments().get("m")


def test_first_requests_at_once_ask_once() -> None:
    registry = Registry()
    registry.gate.clear()
    deployments = registry.deployments()
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(served(deployments))) for _ in range(8)]
    for thread in threads:
        thread.start()
    eventually(lambda: registry.calls == 1)
    registry.gate.set()
    for thread in threads:
        thread.join(10)
    assert found == ["v1"] * 8
    assert registry.calls == 1


def test_nothing_in_production_is_a_conflict() -> None:
    with pytest.raises(Conflict, match="no version in production"):
        served(Registry(production=None).deployments())


def test_a_split_without_stored_allocation_is_served() -> None:
    deployments = Registry(split={"v1": 0.0, "v2": 1.0}).deployments()
    assert served(deployments) == "v2"


def test_pins_are_remembered_and_survive_an_outage() -> None:
    registry = Registry()
    deployments = registry.deployments()
    route = deployments.get("m")
    pin: Callable[[str], VersionRecord] = lambda name: deployments.version(route, name)  # noqa: E731
    assert pin("v2").version == "v2"
    assert pin("v8").version == "v8"
    calls = registry.calls
    pin("v8")
    assert registry.calls == calls
    registry.failure = DOWN
    registry.seconds = 1000.0
    assert pin("v8").version == "v8"
    with pytest.raises(Unavailable):
        pin("v7")
    registry.failure = None
    with pytest.raises(NotFound):
        pin("v7")
    with pytest.raises(Conflict):
        pin("v9")
