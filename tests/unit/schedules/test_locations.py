"""Dates in the locations of a schedule."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_core.errors import Invalid
from neuralstream_core.schedules.reconciler import name_in_group
from neuralstream_core.schedules.records import filled
from neuralstream_core.time import to_micros

MOMENT = to_micros(datetime(2026, 1, 1, 3, 7, 59, tzinfo=UTC))


def test_dates_are_those_of_the_time_zone():
    location = "s3://b/{yyyy}/{mm}/{dd}/{HH}{MM}.csv"
    utc, new_york = ZoneInfo("UTC"), ZoneInfo("America/New_York")
    assert filled(location, MOMENT, utc, loc="input") == "s3://b/2026/01/01/0307.csv"
    assert filled(location, MOMENT, new_york, loc="input") == "s3://b/2025/12/31/2207.csv"
    assert filled("s3://b/fixed.csv", MOMENT, utc, loc="input") == "s3://b/fixed.csv"


@pytest.mark.parametrize(
    "location",
    [
        "s3://b/{day}.csv",
        "s3://b/{}.csv",
        "s3://b/{YYYY}.csv",
        "s3://b/{dd.csv",
        "s3://b/dd}.csv",
        "s3://b/{{dd}}.csv",
        "s3://b/<aws.scheduler.execution-id>.csv",
    ],
)
def test_what_is_not_a_placeholder_is_refused_with_its_place(location):
    with pytest.raises(Invalid) as refused:
        filled(location, MOMENT, ZoneInfo("UTC"), loc="output")
    assert [error.loc for error in refused.value.errors] == ["output"]


NAMES = st.text("abcXYZ019_.-", min_size=1, max_size=128)


@given(st.lists(st.tuples(st.from_regex(r"[a-z0-9-]{1,32}", fullmatch=True), NAMES), unique=True))
def test_names_at_the_scheduler_fit_and_never_meet(schedules):
    names = [name_in_group(namespace, name) for namespace, name in schedules]
    assert len(set(names)) == len(schedules)
    assert all(len(name) <= 64 for name in names)


def test_the_short_name_of_a_long_one_cannot_be_taken():
    long = name_in_group("ns", "n" * 100)
    assert name_in_group("ns", long.removeprefix("ns.")) != long
