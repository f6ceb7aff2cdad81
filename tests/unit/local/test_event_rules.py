"""Which stream records a function gets."""

from __future__ import annotations

import pytest

from neuralstream_local.event_sources import matches

OUTBOX = {"dynamodb": {"NewImage": {"outbox": {"M": {"kind": {"S": [{"exists": True}]}}}}}}


@pytest.mark.parametrize(
    ("pattern", "record", "wanted"),
    [
        (OUTBOX, {"dynamodb": {"NewImage": {"outbox": {"M": {"kind": {"S": "start_job"}}}}}}, True),
        (OUTBOX, {"dynamodb": {"NewImage": {"other": {"S": "x"}}}}, False),
        (OUTBOX, {"eventName": "REMOVE", "dynamodb": {"Keys": {}}}, False),
        ({"eventName": ["INSERT", "MODIFY"]}, {"eventName": "MODIFY"}, True),
        ({"eventName": ["INSERT"]}, {"eventName": "MODIFY"}, False),
        ({"a": [{"exists": False}]}, {}, True),
        ({"a": [{"prefix": "JOB#"}]}, {"a": "JOB#1"}, True),
        ({"a": [{"prefix": "JOB#"}]}, {"a": "VIEW#1"}, False),
        ({"a": [{"anything-but": ["x"]}]}, {"a": "y"}, True),
        ({"a": [{"anything-but": ["x"]}]}, {"a": "x"}, False),
        ({"a": [{"anything-but": ["x"]}]}, {}, False),
        ({"a": [{"numeric": [">", 1]}]}, {"a": 2}, True),
    ],
)
def test_filters_select_records(pattern, record, wanted):
    assert matches(pattern, record) is wanted
