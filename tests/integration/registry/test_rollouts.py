"""A guard, a ramp and people at once: one production version, and a trail that says who did what."""

from __future__ import annotations

from typing import Any

import pytest

from neuralstream_core.errors import Conflict
from neuralstream_core.registry.events import EventKind
from neuralstream_core.registry.issuer import Issuer, countdown
from neuralstream_core.registry.rollout import GuardRule, RampStep
from neuralstream_core.registry.rollout_commands import Rollouts
from neuralstream_core.registry.rollout_rules import Broken
from tests.support.registry import House, ada, every, observe, race, replay

RULE = GuardRule(metric="error_rate", max=0.05)


def guard(number: int = 0) -> Issuer:
    return Issuer(f"guard-{number}", None, countdown(60))


@pytest.fixture
def rollouts(house: House) -> Rollouts:
    """Three versions; v2 in production after v1, guarded."""
    for n in range(3):
        house.register(data=b"%d" % n)
    for version in ("v1", "v2"):
        house.registry.promote("m", version, ada())
    rollouts = Rollouts(house.registry)
    rollouts.set_guard("m", [RULE], "rollback", ada())
    return rollouts


def events(house: House, *kinds: EventKind) -> list[Any]:
    found = every(lambda token: house.registry.events("m", token=token))
    return [event for event in found if event.kind in kinds]


def outboxes(house: House) -> list[dict[str, Any]]:
    items = house.table.query_all("MODEL#tests#m", prefix="EVENT#")
    return [item["outbox"] for item in items if "outbox" in item]


def test_what_is_set_is_stored_and_told(house: House, rollouts: Rollouts) -> None:
    rollouts.set_shadow("m", "v3", 0.25, ada(), reason="try it")
    found = house.registry.served("m")
    assert set(found.versions) == {"v2", "v3"}
    assert found.model.shadow is not None
    assert (found.model.shadow.version, found.model.shadow.sample) == ("v3", 0.25)
    assert found.model.guard is not None
    assert found.model.guard.rules == (RULE,)
    rollouts.end_shadow("m", ada())
    rollouts.remove_guard("m", ada())
    found = house.registry.served("m")
    assert set(found.versions) == {"v2"}
    assert (found.model.shadow, found.model.guard) == (None, None)
    assert replay(house) == observe(house)


def test_traffic_of_other_versions_begins_when_they_change(
    house: House, rollouts: Rollouts
) -> None:
    def since() -> Any:
        return house.registry.model("m").serving_since

    before = since()
    rollouts.set_shadow("m", "v3", 1.0, ada())
    assert since() == before
    begun = house.registry.set_split("m", {"v2": 0.9, "v3": 0.1}, ada()).event.at
    assert since() == begun
    house.registry.set_split("m", {"v2": 0.5, "v3": 0.5}, ada())
    assert since() == begun


def test_a_guard_and_people_who_promote_leave_one_production_and_a_true_trail(
    house: House, rollouts: Rollouts
) -> None:
    seen = house.registry.model("m")
    broken = Broken(seen, "v2", RULE, "12 % of the rows failed")

    def act(n: int) -> Any:
        if n % 2:
            return rollouts.trip(broken, guard(n))
        return house.registry.promote("m", "v3", ada(seconds=60), expected_production="v2")

    outcomes = race(8, act)

    won = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
    assert len(won) == 1
    codes = {error.code for error in outcomes if isinstance(error, Conflict)}
    assert codes <= {"superseded", "production_changed"}
    assert len([o for o in outcomes if isinstance(o, Conflict)]) == 7
    state = observe(house)
    assert list(state.stages.values()).count("production") == 1
    assert replay(house) == state
    event = won[0].event
    if event.kind is EventKind.ROLLED_BACK:
        assert state.production == "v1"
        assert event.reason == "guard: 12 % of the rows failed"
        assert [outbox["kind"] for outbox in outboxes(house)] == ["guard_tripped"]
    else:
        assert state.production == "v3"
        assert event.reason is None
        assert outboxes(house) == []


def test_a_guard_that_runs_twice_at_once_acts_once(house: House, rollouts: Rollouts) -> None:
    house.registry.set_split("m", {"v2": 0.9, "v3": 0.1}, ada())
    broken = Broken(house.registry.model("m"), "v3", RULE, "12 % of the rows failed")

    outcomes = race(6, lambda n: rollouts.trip(broken, guard(n)))

    assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == 1
    (ended,) = events(house, EventKind.SPLIT_ENDED)
    assert ended.data["guard"] == {
        "version": "v3",
        "rule": "error_rate at most 0.05",
        "found": "12 % of the rows failed",
        "done": "split_ended",
    }
    (told,) = outboxes(house)
    assert (told["model"], told["version"], told["status"]) == ("m", "v3", "split_ended")
    assert told["id"] == f"tests:m:event:{ended.revision}"
    assert observe(house).production == "v2"
    assert replay(house) == observe(house)


def test_a_ramp_that_is_moved_on_twice_at_once_takes_one_step(
    house: House, rollouts: Rollouts
) -> None:
    steps = [
        RampStep(share=0.1, seconds=60),
        RampStep(share=0.5, seconds=60),
        RampStep(share=1.0, seconds=None),
    ]
    rollouts.start_ramp("m", "v3", steps, ada())
    for expected in ({"v2": 0.5, "v3": 0.5}, None):
        seen = house.registry.model("m")
        outcomes = race(4, lambda n: rollouts.advance(seen, guard(n), reason="ramp"))  # noqa: B023
        assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == 1
        assert observe(house).split == expected
    assert observe(house).production == "v3"
    assert house.registry.model("m").ramp is None
    shares = [e.data["ramp"]["share"] for e in events(house, EventKind.SPLIT_SET)]
    assert shares == [0.1, 0.5]
    (promoted,) = (e for e in events(house, EventKind.PROMOTED) if e.version == "v3")
    assert promoted.data["ramp"]["share"] == 1.0
    assert replay(house) == observe(house)
