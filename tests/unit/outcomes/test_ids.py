"""Ids of predictions: read back as they were made, sorted by time, refused in any other form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_core.outcomes.ids import (
    MAX_PREDICTION_ID,
    PredictionId,
    deterministic_ulid,
    random_ulid,
)

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", fullmatch=True)
TIMES = st.integers(0, 2**48 * 1000 - 1)


@given(NAMES, st.integers(1, 999_999_999), TIMES, st.none() | st.integers(0, 9_999_999_999))
def test_an_id_is_read_back_and_says_its_millisecond(
    model: str, number: int, now: int, row: int | None
) -> None:
    made = PredictionId(model, f"v{number}", random_ulid(now), row)
    assert PredictionId.parse(str(made)) == made
    assert made.at == now // 1000 * 1000
    assert len(str(made)) <= MAX_PREDICTION_ID


@given(TIMES, TIMES)
def test_ids_sort_by_their_millisecond(one: int, other: int) -> None:
    first, second = sorted((one, other))
    if first // 1000 < second // 1000:
        assert random_ulid(first) < random_ulid(second)
    assert random_ulid(first)[:10] <= random_ulid(second)[:10]


def test_a_ulid_is_the_one_of_the_specification() -> None:
    """Time and text of the example in its readme, and its largest value."""
    assert random_ulid(1_469_918_176_385_000).startswith("01ARYZ6S41")
    assert random_ulid((2**48 - 1) * 1000).startswith("7ZZZZZZZZZ")


def test_the_same_seed_gives_the_same_id_and_chance_never_does() -> None:
    assert deterministic_ulid(5_000, "job-1") == deterministic_ulid(5_999, "job-1")
    assert deterministic_ulid(5_000, "job-1") != deterministic_ulid(5_000, "job-2")
    earlier_release = "01KB7S4M9V09NBCEE23QWAN075"  # a job under way keeps its ids
    assert deterministic_ulid(1_764_419_064_123_456, "job-1") == earlier_release
    assert len({random_ulid(5_000) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "m:v1",
        "m:v1:01ARYZ6S41TSV4RRFFQ69G5FA",  # a character short
        "m:v1:01ARYZ6S41TSV4RRFFQ69G5FAVX",
        "m:v1:81ARYZ6S41TSV4RRFFQ69G5FAV",  # beyond 48 bits
        "m:v1:01ARYZ6S41TSV4RRFFQ69G5FAU",  # no character of the alphabet
        "m:v1:01aryz6s41tsv4rrffq69g5fav",
        "m:1:01ARYZ6S41TSV4RRFFQ69G5FAV",
        "_m:v1:01ARYZ6S41TSV4RRFFQ69G5FAV",
        "m:v1:01ARYZ6S41TSV4RRFFQ69G5FAV:",
        "m:v1:01ARYZ6S41TSV4RRFFQ69G5FAV:01",
        "m:v1:01ARYZ6S41TSV4RRFFQ69G5FAV:-1",
        "m:v1:01ARYZ6S41TSV4RRFFQ69G5FAV\n",
        "a:b:v1:01ARYZ6S41TSV4RRFFQ69G5FAV",
    ],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="prediction id"):
        PredictionId.parse(text)
