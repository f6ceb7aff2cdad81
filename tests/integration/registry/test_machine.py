"""Commands in random order against the rules written down a second time, as simply as they can be said."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from neuralstream_core.errors import ArtifactRejected, Conflict, NotFound
from neuralstream_core.registry.records import number_of
from tests.support.registry import House, ada, announced, observe, replay

NUMBERS = st.integers(0, 100)
WEIGHTS = st.sampled_from([(1.0, 0.0), (0.5, 0.5), (0.25, 0.75), (0.1, 0.9)])


class Machine(RuleBasedStateMachine):
    """The model: a stage a version, a stack of former production versions, a split."""

    house: House

    @initialize()
    def begin(self) -> None:
        self.name = f"m{uuid.uuid4().hex}"
        self.stage: dict[str, str] = {}
        self.status: dict[str, str] = {}
        self.retired: set[str] = set()
        self.former: list[str] = []
        self.production: str | None = None
        self.split: dict[str, float] | None = None
        for _ in range(3):
            self.register()
        for number in range(2):
            self.promote(number, "*")

    def pick(self, number: int) -> str:
        """Mostly a version that exists."""
        return f"v{number % (len(self.stage) + 1) + 1}"

    def attempt(self, allowed: bool, call: Any, *args: Any, **more: Any) -> bool:
        """Carry out a command; it must succeed exactly when the model allows it."""
        try:
            call(self.name, *args, ada(), **more)
        except (Conflict, NotFound):
            assert not allowed
            return False
        assert allowed
        return True

    def live(self, version: str) -> bool:
        """Archived versions too: nothing here deletes the views they would need."""
        return self.status.get(version) == "READY"

    @rule()
    def register(self) -> None:
        version = f"v{len(self.stage) + 1}"
        assert self.house.register(self.name).version.version == version
        self.stage[version], self.status[version] = "staging", "READY"

    @rule(good=st.booleans(), sent=st.booleans())
    def upload(self, good: bool, sent: bool) -> None:
        version = f"v{len(self.stage) + 1}"
        data = b"good" if good else b"bad"
        registered = self.house.registrar.register(self.name, announced(data), ada()).version
        assert registered.version == version
        self.stage[version], self.status[version] = "staging", "PENDING_UPLOAD"
        if not sent:
            return
        self.house.s3.put_object(Bucket=self.house.bucket, Key=registered.upload_key, Body=data)
        if good:
            self.house.registrar.complete(self.name, version, ada())
        else:
            with pytest.raises(ArtifactRejected):
                self.house.registrar.complete(self.name, version, ada())
        self.status[version] = "READY" if good else "REJECTED"

    @rule(number=NUMBERS, expect=st.sampled_from(["*", "*", "right", "wrong"]))
    def promote(self, number: int, expect: str) -> None:
        version = self.pick(number)
        expected = {"*": "*", "right": self.production, "wrong": "v999"}[expect]
        allowed = (
            expect != "wrong"
            and self.live(version)
            and (version != self.production or self.split is not None)
        )
        done = self.attempt(allowed, self.call("promote", version), expected_production=expected)
        if not done:
            return
        self.former = [v for v in self.former if v != version]
        self.retired.discard(version)
        if self.production not in (None, version):
            self.stage[self.production] = "archived"
            self.former.append(self.production)
        self.stage[version], self.production, self.split = "production", version, None

    @rule()
    def rollback(self) -> None:
        if self.attempt(bool(self.former), self.house.registry.rollback):
            self.stage[self.production] = "archived"
            self.production = self.former.pop()
            self.stage[self.production], self.split = "production", None

    @rule(number=NUMBERS)
    def archive(self, number: int) -> None:
        version = self.pick(number)
        allowed = (
            self.status.get(version) in ("READY", "REJECTED")
            and version != self.production
            and version not in (self.split or {})
            and version not in self.retired
        )
        if self.attempt(allowed, self.call("archive", version)):
            self.stage[version] = "archived"
            self.retired.add(version)
            self.former = [v for v in self.former if v != version]

    @rule(number=NUMBERS)
    def restore(self, number: int) -> None:
        version = self.pick(number)
        allowed = self.status.get(version) == "READY" and self.stage[version] == "archived"
        if self.attempt(allowed, self.call("restore", version)):
            self.stage[version] = "staging"
            self.retired.discard(version)
            self.former = [v for v in self.former if v != version]

    @rule(numbers=st.tuples(NUMBERS, NUMBERS), weights=WEIGHTS)
    def set_split(self, numbers: tuple[int, int], weights: tuple[float, float]) -> None:
        first, second = sorted((self.pick(n) for n in numbers), key=number_of)
        split = {second: weights[1], first: weights[0]} if first != second else {first: 1.0}
        allowed = all(self.live(version) for version in split)
        if self.attempt(allowed, self.call("set_split", split)):
            self.split = split
            for version in split:
                if self.stage[version] == "archived":
                    self.stage[version] = "staging"
                    self.retired.discard(version)

    @rule()
    def end_split(self) -> None:
        if self.attempt(self.split is not None, self.house.registry.end_split):
            self.split = None

    def call(self, command: str, argument: Any) -> Any:
        found = getattr(self.house.registry, command)
        return lambda model, by, **more: found(model, argument, by, **more)

    @invariant()
    def the_registry_is_as_the_rules_say(self) -> None:
        if not self.stage:
            return
        seen = observe(self.house, self.name)
        assert seen.stages == self.stage
        assert seen.production == self.production
        assert seen.split == self.split
        assert list(self.house.registry.model(self.name).history) == self.former
        assert self.production not in self.former
        assert len(set(self.former)) == len(self.former)
        served = {self.production, *(self.split or {})} - {None}
        assert set(self.house.registry.served(self.name).versions) == served

    def teardown(self) -> None:
        if getattr(self, "stage", None):
            assert replay(self.house, self.name) == observe(self.house, self.name)


def test_the_registry_follows_its_rules_in_any_order(house: House) -> None:
    class OnThisHouse(Machine):
        pass

    OnThisHouse.house = house
    run_state_machine_as_test(
        OnThisHouse,
        settings=settings(
            max_examples=8,
            stateful_step_count=15,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],  # every step is a dozen calls: shrinking would take minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
