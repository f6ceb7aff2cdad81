"""The append log: all that was appended is read back, and nothing is acknowledged that is not there."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from neuralstream_core.errors import Unavailable
from neuralstream_core.history.entries import Part
from neuralstream_core.history.log import MAX_ITEM, SEAL, SLOT, HistoryLog, slot_of
from tests.support.aws import Aws
from tests.support.features import Clock
from tests.support.interposed import Interposed


def part(request_id: str, size: int = 10) -> Part:
    """One row of about ``size`` bytes that no compression makes smaller."""
    return Part("user", "g1", 1, request_id, [b"u1"], [random.Random(request_id).randbytes(size)])


def found(log: HistoryLog, first: int, last: int) -> list[str]:
    return sorted(p.request_id for _, entry in log.entries(first, last) for p in entry.parts)


def test_every_entry_of_the_slots_asked_for_is_read_and_no_other(
    log: HistoryLog, clock: Clock
) -> None:
    start = slot_of(clock.now)
    written = {}
    for slot in range(start, start + 4):
        clock.now = slot * SLOT + 7
        for n in range(5):
            log.append([part(f"{slot}-{n}")])
            written.setdefault(slot, []).append(f"{slot}-{n}")
    assert found(log, start + 1, start + 2) == sorted(written[start + 1] + written[start + 2])
    assert [slot for slot, _ in log.entries(start, start + 3)] == [
        slot for slot in range(start, start + 4) for _ in range(5)
    ]
    assert found(log, start + 4, start + 9) == []


def test_an_entry_is_read_as_it_was_appended(log: HistoryLog, clock: Clock) -> None:
    given = [part("a"), Part("other", "g2", 3, "b", [b"x", b"y"], [b"", b"row"])]
    log.append(given)
    ((slot, entry),) = log.entries(slot_of(clock.now), slot_of(clock.now))
    assert (slot, entry.write_time, entry.parts) == (slot_of(clock.now), clock.now, given)


def test_a_slot_of_many_pages_is_read_whole(log: HistoryLog, clock: Clock) -> None:
    """About 9 MB over 16 shards, and a page has at most one: no shard is cut at its first page."""
    names = [f"r{n}" for n in range(170)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: log.append([part(name, 200_000)]), names))
    slot = slot_of(clock.now)
    assert found(log, slot, slot) == sorted(names)


def test_a_large_entry_is_an_object_and_a_small_one_an_item(
    log: HistoryLog, clock: Clock, aws: Aws, bucket: str, history_table: str
) -> None:
    log.append([part("small", MAX_ITEM - 1000)])
    log.append([part("large", MAX_ITEM + 1)])
    slot = slot_of(clock.now)
    (stored,) = aws.client("s3").list_objects_v2(Bucket=bucket)["Contents"]
    assert stored["Key"].startswith(f"history-log/test/{slot}/")
    assert stored["Size"] > MAX_ITEM
    items = aws.client("dynamodb").scan(TableName=history_table)["Items"]
    assert sorted("object" in item for item in items) == [False, True]
    assert {int(item["expires_at"]["N"]) for item in items} == {clock.now // 1_000_000 + 7 * 86_400}
    assert found(log, slot, slot) == ["large", "small"]


def test_an_entry_whose_object_is_gone_is_an_error_and_not_left_out(
    log: HistoryLog, clock: Clock, aws: Aws, bucket: str
) -> None:
    log.append([part("large", MAX_ITEM + 1)])
    log.append([part("small")])
    s3 = aws.client("s3")
    (stored,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    s3.delete_object(Bucket=bucket, Key=stored["Key"])
    slot = slot_of(clock.now)
    with pytest.raises(Unavailable, match="object of the history log") as refused:
        list(log.entries(slot, slot))
    assert refused.value.code == "history_unavailable"


def test_what_is_written_while_a_slot_is_sealed_was_acknowledged_to_nobody(
    log: HistoryLog, clock: Clock
) -> None:
    now = clock.now
    newest = log.sealed(now)
    assert (newest + 1) * SLOT + SEAL <= now < (newest + 2) * SLOT + SEAL
    assert log.sealed(((newest + 2) * SLOT) + SEAL) == newest + 1
    assert log.sealed(((newest + 2) * SLOT) + SEAL - 1) == newest


def test_an_append_that_ends_too_late_is_not_acknowledged(
    log_on: Callable[..., HistoryLog], clock: Clock, aws: Aws
) -> None:
    """Its entry is there: an entry that was not acknowledged may be, one that was must be."""
    began = clock.now

    def freeze(_operation: str) -> None:
        clock.now += SEAL // 3 + 1

    frozen = log_on(Interposed(aws.client("dynamodb"), before=freeze))
    with pytest.raises(Unavailable, match="too long"):
        frozen.append([part("late")])
    assert found(log_on(), slot_of(began), slot_of(began)) == ["late"]


@pytest.mark.parametrize(
    "code",
    [
        "ThrottlingException",
        "ProvisionedThroughputExceededException",
        "InternalServerError",
        "AccessDeniedException",
        "ResourceNotFoundException",
    ],
)
def test_a_dynamodb_that_refuses_is_said_to_be_unavailable(
    log_on: Callable[..., HistoryLog], aws: Aws, code: str
) -> None:
    def refuse(operation: str) -> None:
        raise ClientError({"Error": {"Code": code}}, operation)

    with pytest.raises(Unavailable) as refused:
        log_on(Interposed(aws.client("dynamodb"), before=refuse)).append([part("a")])
    assert refused.value.code == "history_unavailable"
    assert refused.value.retry_after >= 1


def test_an_s3_that_refuses_leaves_no_item_behind(
    log_on: Callable[..., HistoryLog], aws: Aws, clock: Clock
) -> None:
    def refuse(operation: str) -> None:
        raise ClientError({"Error": {"Code": "SlowDown"}}, operation)

    log = log_on(s3=Interposed(aws.client("s3"), before=refuse))
    with pytest.raises(Unavailable) as refused:
        log.append([part("large", MAX_ITEM + 1)])
    assert refused.value.code == "history_unavailable"
    assert found(log, slot_of(clock.now), slot_of(clock.now)) == []
    log.append([part("small")])


def test_a_dynamodb_and_an_s3_that_are_gone_are_said_to_be_unavailable(
    log_on: Callable[..., HistoryLog],
) -> None:
    def nowhere(service: str) -> Any:
        build: Any = boto3.client
        return build(
            service,
            endpoint_url="http://127.0.0.1:9",
            config=Config(connect_timeout=1, retries={"total_max_attempts": 1}),
        )

    gone = log_on(nowhere("dynamodb"), nowhere("s3"))
    for size in (10, MAX_ITEM + 1):
        with pytest.raises(Unavailable) as refused:
            gone.append([part("a", size)])
        assert refused.value.code == "history_unavailable"
    with pytest.raises(Unavailable):
        list(gone.entries(1, 1))


def test_an_append_of_nothing_adds_no_entry(log: HistoryLog, clock: Clock) -> None:
    log.append([])
    assert found(log, slot_of(clock.now), slot_of(clock.now)) == []
