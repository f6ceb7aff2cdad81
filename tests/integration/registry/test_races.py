"""Many callers at once: whatever the order, one truth and a trail that tells it."""

from __future__ import annotations

from neuralstream_core.errors import Conflict
from neuralstream_core.registry.events import EventKind
from neuralstream_core.registry.records import VersionStatus
from tests.support.registry import House, ada, announced, every, observe, race, replay


def test_32_registrations_at_once_are_v1_to_v32(house: House) -> None:
    outcomes = race(32, lambda n: house.register(data=b"model %d" % n, by=ada(seconds=60)))

    names = [outcome.version.version for outcome in outcomes]
    assert sorted(names, key=lambda v: int(v[1:])) == [f"v{n}" for n in range(1, 33)]
    for n, outcome in enumerate(outcomes):
        stored = house.registry.version("m", outcome.version.version)
        assert house.artifacts.get(stored.digest) == b"model %d" % n
    assert replay(house) == observe(house)


def test_16_promotions_at_once_follow_one_another(house: House) -> None:
    for n in range(16):
        house.register(data=b"%d" % n)

    outcomes = race(16, lambda n: house.registry.promote("m", f"v{n + 1}", ada(seconds=60)))

    # All succeed, in the order of their events: each archived the one before it, the last one stays.
    events = every(lambda token: house.registry.events("m", token=token))
    promoted = [event for event in events if event.kind is EventKind.PROMOTED]
    assert sorted(e.event.revision for e in outcomes) == [e.revision for e in promoted]
    assert [e.data["replaced"] for e in promoted] == [None, *(e.version for e in promoted[:-1])]
    assert observe(house).production == promoted[-1].version
    assert list(observe(house).stages.values()).count("production") == 1
    assert replay(house) == observe(house)


def test_of_promotions_that_expect_the_same_production_one_wins(house: House) -> None:
    for n in range(16):
        house.register(data=b"%d" % n)

    outcomes = race(
        16,
        lambda n: house.registry.promote(
            "m", f"v{n + 1}", ada(seconds=60), expected_production=None
        ),
    )

    won = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
    lost = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert len(won) == 1
    assert {(type(error), error.code) for error in lost} == {(Conflict, "production_changed")}
    assert observe(house).production == won[0].event.version
    assert replay(house) == observe(house)


def test_one_idempotency_key_registers_once_however_often_it_is_sent_at_once(house: House) -> None:
    outcomes = race(8, lambda _: house.register(by=ada("key-1", 60)))

    assert {outcome.version.version for outcome in outcomes} == {"v1"}
    assert [event.kind for event in house.registry.events("m").records] == [EventKind.REGISTERED]
    assert observe(house).stages == {"v1": "staging"}


def test_an_upload_completed_twice_at_once_is_settled_once(house: House) -> None:
    registered = house.registrar.register("m", announced(b"model"), ada())
    house.s3.put_object(Bucket=house.bucket, Key=registered.version.upload_key, Body=b"model")

    outcomes = race(4, lambda _: house.registrar.complete("m", "v1", ada(seconds=60)))

    assert {outcome.status for outcome in outcomes} == {VersionStatus.READY}
    events = every(lambda token: house.registry.events("m", token=token))
    assert [e.kind for e in events] == [EventKind.REGISTERED, EventKind.READY]


def test_a_view_is_never_deleted_under_a_version_that_needs_it(house: House) -> None:
    for n in range(6):
        house.views.put(f"users{n}", "age")

    def delete_or_register(n: int) -> bool:
        view = f"users{n // 2}"
        if n % 2:
            house.register(f"m{n}", features=[f"{view}:age"], by=ada(seconds=60))
        else:
            house.views.delete(view)
        return True

    outcomes = race(12, delete_or_register)

    for n in range(6):
        deleted, registered = outcomes[2 * n] is True, outcomes[2 * n + 1] is True
        assert (house.views.item(f"users{n}") is None) == deleted
        assert deleted != registered


def test_a_view_is_never_deleted_under_a_version_that_comes_back(house: House) -> None:
    """Archived versions are promoted, or join a split, while their views are deleted."""
    for n in range(6):
        house.views.put(f"users{n}", "age")
        house.register(f"m{n}", features=[f"users{n}:age"])
        house.registry.archive(f"m{n}", "v1", ada())

    def delete_or_revive(n: int) -> bool:
        model, view = f"m{n // 2}", f"users{n // 2}"
        if n % 2 == 0:
            house.views.delete(view)
        elif n % 4 == 1:
            house.registry.promote(model, "v1", ada(seconds=60))
        else:
            house.registry.set_split(model, {"v1": 1.0}, ada(seconds=60))
        return True

    outcomes = race(12, delete_or_revive)

    for n in range(6):
        deleted, revived = outcomes[2 * n] is True, outcomes[2 * n + 1] is True
        assert (house.views.item(f"users{n}") is None) == deleted
        assert deleted != revived
        assert (house.registry.version(f"m{n}", "v1").stage != "archived") == revived
        assert replay(house, f"m{n}") == observe(house, f"m{n}")


def test_16_promotions_of_two_versions_at_once_leave_one_in_production(house: House) -> None:
    """Each archives the other and brings an archived one back."""
    for n in range(2):
        house.register(data=b"%d" % n)

    outcomes = race(16, lambda n: house.registry.promote("m", f"v{n % 2 + 1}", ada(seconds=60)))

    refused = {o.code for o in outcomes if isinstance(o, Conflict)}
    assert refused <= {"already_production"}
    assert sorted(observe(house).stages.values()) == ["archived", "production"]
    history = house.registry.model("m").history
    assert list(history) == [v for v in ("v1", "v2") if v != observe(house).production]
    assert replay(house) == observe(house)
