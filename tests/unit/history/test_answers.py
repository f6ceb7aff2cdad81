"""Where a row of an entity's history came from, by the request that brought it."""

from __future__ import annotations

import pytest

from neuralstream_core.features.schema import Feature
from neuralstream_core.features.values import Dtype
from neuralstream_core.history.answers import EntityHistoryAnswer, place_of
from neuralstream_core.history.rows import EntityPage, EntityRow, Place
from tests.support.histories import START, view_of

JOB = f"job-{'0v' * 13}"
SHARD = "arn:aws:kinesis:eu-central-1:000000000000:stream/rows/shardId-000000000006"


@pytest.mark.parametrize(
    ("request_id", "source"),
    [
        ("JKJaXmPLvHcESHA=/0a1b2c3d", "write"),
        ("0e6f3a27-5d0c-4a52-8f0e-3c1f6f6f8f6b/41c7e09f", "write"),
        (f"{JOB}/00000/00012", "backfill"),
        (f"{JOB}/00000/0123456789012345", "adoption"),
        ("5a0f8d1c-23b7-4f67-9a51-60b1a8f1d0aa", "message"),
        (f"{SHARD}:49590338271490256608559692538361571095921575989136588898", "message"),
    ],
)
def test_the_source_of_a_row_and_the_token_behind_it(request_id: str, source: str) -> None:
    view = view_of(Feature(name="seen", dtype=Dtype.TIMESTAMP))
    place = Place(START, START + 1, request_id, 3)
    page = EntityPage(view, "u1", [EntityRow(place, 1, {"seen": START})], place)
    answer = EntityHistoryAnswer.of(page)
    (row,) = answer.rows
    assert (row.source, row.request_id) == (source, request_id)
    assert row.features == {"seen": "2026-09-21T00:00:00Z"}
    assert place_of(answer.next_token) == place
