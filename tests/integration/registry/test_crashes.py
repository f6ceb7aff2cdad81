"""Every operation, ended or disturbed at each of its calls: nothing is half-done, and the next call copes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from neuralstream_core.registry.events import EventKind
from neuralstream_core.registry.registration import Baseline
from neuralstream_core.registry.requests import ModelEdit, VersionEdit
from tests.support.interposed import Cut, Died, FailsOnce, Interposed
from tests.support.registry import House, ada, announced, every, inline, observe, replay

BASELINE = {"columns": {"age": [1.0, 2.0]}}
FEATURES = ["users:age"]
Run = Callable[[House, str, Any], Any]


class Operation(NamedTuple):
    """``prepare`` leads a model to where ``run`` makes sense; ``kind`` is the event it writes, and there are
    ``events`` of it afterwards."""

    kind: EventKind
    run: Run
    prepare: Callable[[House, str], Any] = lambda _house, _model: None
    events: int = 1


def _two(house: House, model: str) -> None:
    house.register(model, features=FEATURES)
    house.register(model, b"two", features=FEATURES)
    house.registry.promote(model, "v1", ada())


def _promoted_twice(house: House, model: str) -> None:
    _two(house, model)
    house.registry.promote(model, "v2", ada())


def _split(house: House, model: str) -> None:
    _two(house, model)
    house.registry.set_split(model, {"v1": 0.5, "v2": 0.5}, ada())


def _archived(house: House, model: str) -> None:
    _two(house, model)
    house.registry.archive(model, "v2", ada())


def _uploaded(house: House, model: str) -> None:
    _send(house, model, b"model")


def _uploaded_badly(house: House, model: str) -> None:
    _send(house, model, b"bad")


def _send(house: House, model: str, data: bytes) -> None:
    request = announced(data, features=FEATURES, baseline=BASELINE)
    key = house.registrar.register(model, request, ada()).version.upload_key
    house.s3.put_object(Bucket=house.bucket, Key=key, Body=data)


def _complete(house: House, model: str, by: Any) -> Any:
    try:
        return house.registrar.complete(model, "v1", by)
    except Exception as error:  # noqa: BLE001 - a rejection is this operation's designed outcome
        return error


OPERATIONS = {
    "register": Operation(
        EventKind.REGISTERED,
        lambda h, m, by: h.registrar.register(m, inline(features=FEATURES, baseline=BASELINE), by),
    ),
    "announce": Operation(
        EventKind.REGISTERED,
        lambda h, m, by: h.registrar.register(
            m, announced(b"model", features=FEATURES, baseline=BASELINE), by
        ),
    ),
    "complete": Operation(EventKind.READY, _complete, _uploaded),
    "complete a bad one": Operation(EventKind.REJECTED, _complete, _uploaded_badly),
    "promote": Operation(
        EventKind.PROMOTED, lambda h, m, by: h.registry.promote(m, "v2", by), _split, events=2
    ),
    "promote an archived one": Operation(
        EventKind.PROMOTED, lambda h, m, by: h.registry.promote(m, "v2", by), _archived, events=2
    ),
    "set_split with an archived one": Operation(
        EventKind.SPLIT_SET,
        lambda h, m, by: h.registry.set_split(m, {"v1": 0.9, "v2": 0.1}, by),
        _archived,
    ),
    "rollback": Operation(
        EventKind.ROLLED_BACK, lambda h, m, by: h.registry.rollback(m, by), _promoted_twice
    ),
    "archive": Operation(
        EventKind.ARCHIVED, lambda h, m, by: h.registry.archive(m, "v2", by), _two
    ),
    "restore": Operation(
        EventKind.RESTORED, lambda h, m, by: h.registry.restore(m, "v2", by), _archived
    ),
    "set_split": Operation(
        EventKind.SPLIT_SET,
        lambda h, m, by: h.registry.set_split(m, {"v1": 0.9, "v2": 0.1}, by),
        _two,
    ),
    "end_split": Operation(
        EventKind.SPLIT_ENDED, lambda h, m, by: h.registry.end_split(m, by), _split
    ),
    "edit_model": Operation(
        EventKind.EDITED,
        lambda h, m, by: h.registry.edit_model(m, ModelEdit(description="new"), by),
        _two,
    ),
    "edit_version": Operation(
        EventKind.EDITED,
        lambda h, m, by: h.registry.edit_version(m, "v1", VersionEdit(tags={"a": "b"}), by),
        _two,
    ),
    "adopt_baseline": Operation(
        EventKind.BASELINE_ADOPTED,
        lambda h, m, by: h.registrar.adopt_baseline(m, "v1", Baseline.model_validate(BASELINE), by),
        _two,
    ),
    "record_event": Operation(
        EventKind.BATCH_FINISHED,
        lambda h, m, by: h.registry.record_event(m, EventKind.BATCH_FINISHED, by, version="v1"),
        _two,
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_cut_anywhere_is_done_wholly_or_not_and_can_be_sent_again(
    house: House, name: str
) -> None:
    operation = OPERATIONS[name]
    house.views.put("users", "age")
    operation.prepare(house, "m")
    at, finished = 0, False
    while not finished:
        at += 1
        with house.copy() as copy:
            cut = Cut(at)
            dying = copy.on(Interposed(copy.dynamodb, before=cut), Interposed(copy.s3, before=cut))
            try:
                operation.run(dying, "m", ada("key"))
                finished = True  # no write is left to cut: its answer alone is lost
            except Died:
                _whole(copy)

            operation.run(copy, "m", ada("key"))

            _whole(copy)
            events = every(lambda token, house=copy: house.registry.events("m", token=token))
            assert events[-1].kind is operation.kind
            assert len([e for e in events if e.kind is operation.kind]) == operation.events
    assert at >= 2


@pytest.mark.parametrize("name", ["register", "announce", "complete", "promote", "restore"])
def test_an_operation_succeeds_though_any_one_of_its_calls_fails_once(
    house: House, name: str
) -> None:
    operation = OPERATIONS[name]
    house.views.put("users", "age")
    operation.prepare(house, "m")
    at, failed = 0, True
    while failed:
        at += 1
        with house.copy() as copy:
            fault = FailsOnce(at)
            flaky = copy.on(
                Interposed(copy.dynamodb, before=fault), Interposed(copy.s3, before=fault)
            )

            operation.run(flaky, "m", ada())

            events = copy.registry.events("m").records
            assert len([e for e in events if e.kind is operation.kind]) == operation.events
            failed = fault.happened


def _whole(house: House) -> None:
    """The trail tells the state, and the views know exactly the versions that need them."""
    if house.table.get("MODEL#tests#m", "META") is None:
        assert house.table.query("MODEL#tests#m") == []
        return
    told = replay(house, "m")
    assert told == observe(house, "m")
    item = house.views.item("users") or {}
    held = {label for label in item.get("dependents", ()) if label.startswith("m@")}
    needing = {
        f"m@{v.version}"
        for v in house.registry.versions("m").records
        if v.feature_views and v.signature is not None and not v.retired
    }
    assert held == needing
