"""AWS throttles, answers late or not at all: retried while the caller waits, then 503; never half-done."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from neuralstream_core.errors import Conflict, Unavailable
from neuralstream_core.registry.events import EventKind
from tests.support.interposed import Interposed
from tests.support.registry import House, ada, every, inline, observe, replay

THROTTLED = ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "any")
BUSY = ClientError(
    {
        "Error": {"Code": "TransactionCanceledException", "Message": ""},
        "CancellationReasons": [{"Code": "TransactionConflict"}, {"Code": "None"}],
    },
    "TransactWriteItems",
)
GONE = EndpointConnectionError(endpoint_url="http://nowhere")
LATE = ReadTimeoutError(endpoint_url="http://nowhere")
SLOW_DOWN = ClientError({"Error": {"Code": "SlowDown", "Message": ""}}, "PutObject")


class Fails:
    """A hook that fails the first ``times`` calls, of ``operation`` if given."""

    def __init__(self, error: Exception, times: float, operation: str | None = None) -> None:
        self._error = error
        self._left = times
        self._operation = operation

    def __call__(self, operation: str) -> None:
        if self._left > 0 and self._operation in (None, operation):
            self._left -= 1
            raise self._error


def faulty(house: House, hook: Callable[[str], None], *, answer: bool = False) -> House:
    """``house`` behind a hook: on the call, or on its answer."""
    client = Interposed(house.dynamodb, **{"after" if answer else "before": hook})
    return house.on(client, house.s3)


@pytest.mark.parametrize(
    "error", [THROTTLED, BUSY, GONE, LATE], ids=["throttle", "busy", "gone", "late"]
)
def test_a_passing_fault_is_ridden_out(house: House, error: Exception) -> None:
    flaky = faulty(house, Fails(error, 4))
    flaky.registrar.register("m", inline(), ada())
    flaky.registry.promote("m", "v1", ada())

    assert observe(house).production == "v1"
    assert replay(house) == observe(house)


def test_a_promotion_whose_answer_was_lost_is_reported_as_the_success_it_is(house: House) -> None:
    house.register()
    house.register(data=b"two")
    flaky = faulty(house, Fails(LATE, 1, "transact_write_items"), answer=True)

    done = flaky.registry.promote("m", "v2", ada(), expected_production=None)

    assert done.model.production_version == "v2"
    events = every(lambda token: house.registry.events("m", token=token))
    assert [e.kind for e in events][-1] is EventKind.PROMOTED
    assert len(events) == 3


def test_a_registration_whose_answer_was_lost_makes_one_version(house: House) -> None:
    flaky = faulty(house, Fails(LATE, 1, "transact_write_items"), answer=True)

    assert flaky.registrar.register("m", inline(), ada()).version.version == "v1"
    assert observe(house).stages == {"v1": "staging"}


@pytest.mark.parametrize("error", [THROTTLED, GONE], ids=["throttle", "gone"])
def test_a_lasting_fault_ends_with_unavailable_when_the_callers_time_is_up(
    house: House, error: Exception
) -> None:
    house.register()
    down = faulty(house, Fails(error, float("inf"), "transact_write_items"))

    with pytest.raises(Unavailable) as caught:
        down.registry.promote("m", "v1", ada(seconds=0.2))
    assert caught.value.dependency == "registry"
    with pytest.raises(Unavailable):
        down.register(data=b"two", by=ada(seconds=0.2))

    assert observe(house).production is None
    assert observe(house).stages == {"v1": "staging"}
    assert replay(house) == observe(house)


def test_losing_every_race_ends_with_unavailable(house: House) -> None:
    house.register()

    def overtake(operation: str) -> None:
        if operation == "transact_write_items":
            house.registry.record_event("m", EventKind.BATCH_FAILED, ada())

    with pytest.raises(Unavailable):
        faulty(house, overtake).registry.promote("m", "v1", ada(seconds=0.2))
    assert observe(house).production is None


def test_a_decision_overtaken_by_another_is_made_anew(house: House) -> None:
    house.register()
    house.register(data=b"two")
    once = [lambda: house.registry.promote("m", "v2", ada())]

    def overtake(operation: str) -> None:
        if operation == "transact_write_items" and once:
            once.pop()()

    overtaken = faulty(house, overtake)
    with pytest.raises(Conflict, match="v2 is in production"):
        overtaken.registry.promote("m", "v1", ada(), expected_production=None)


def test_a_store_that_slows_down_is_waited_for_and_then_given_up(house: House) -> None:
    slow = house.on(house.dynamodb, Interposed(house.s3, before=Fails(SLOW_DOWN, 2)))
    assert slow.register().version.version == "v1"

    down = house.on(house.dynamodb, Interposed(house.s3, before=Fails(SLOW_DOWN, float("inf"))))
    with pytest.raises(Unavailable) as caught:
        down.register(data=b"two", by=ada(seconds=0.2))
    assert caught.value.dependency == "artifacts"
    assert observe(house).stages == {"v1": "staging"}
