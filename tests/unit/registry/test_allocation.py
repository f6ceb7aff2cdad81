"""Who gets which version: shares, stickiness, and the least possible movement."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_core.registry.allocation import BUCKETS, Allocation, Assigner, allocate

ROOT = Path(__file__).parents[3]
IDS = [f"user-{i}" for i in range(100_000)]


def split(*shares: float) -> dict[str, float]:
    return {f"v{i + 1}": share for i, share in enumerate(shares)}


def owners(allocation: Allocation) -> list[str]:
    return [version for version, count in allocation for _ in range(count)]


def test_shares_of_100_000_entities_stay_within_the_binomial_bound() -> None:
    assigner = Assigner("churn", "salt", allocate(split(0.9, 0.1)))
    count = int((assigner.many(IDS) == 1).sum())
    deviation = math.sqrt(len(IDS) * 0.9 * 0.1)
    assert abs(count - 10_000) < 4 * deviation


def test_shares_hold_for_three_versions_and_for_ids_of_any_kind() -> None:
    weights = (0.5, 0.3, 0.2)
    assigner = Assigner("m", "s", allocate(split(*weights)))
    for ids in (IDS, [f"{i:036d}" for i in range(50_000)], [(f"u{i}", "é") for i in range(50_000)]):
        counts = np.bincount(assigner.many(ids), minlength=3)
        for count, weight in zip(counts.tolist(), weights, strict=True):
            deviation = math.sqrt(len(ids) * weight * (1 - weight))
            assert abs(count - len(ids) * weight) < 4.5 * deviation


def test_models_and_salts_split_independently() -> None:
    def second(model: str, salt: str) -> np.ndarray:
        return Assigner(model, salt, allocate(split(0.5, 0.5))).many(IDS) == 1

    base = second("a", "s")
    for other in (second("b", "s"), second("a", "t"), second("as", "")):
        agree = int((base == other).sum())
        assert abs(agree - 50_000) < 5 * math.sqrt(25_000)


def test_another_process_assigns_the_same() -> None:
    ids = IDS[:500]
    program = (
        "import json,sys;from neuralstream_core.registry.allocation import Assigner, allocate;"
        "assigner=Assigner('m','s',allocate({'v1':0.5,'v2':0.3,'v3':0.2}));"
        "print(json.dumps([assigner.one(i) for i in json.load(sys.stdin)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(ids),
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"},
    )
    assigner = Assigner("m", "s", allocate(split(0.5, 0.3, 0.2)))
    assert json.loads(done.stdout) == [assigner.one(i) for i in ids]


def test_buckets_never_change_between_releases() -> None:
    """A changed hash would move every entity of every running experiment."""
    assigner = Assigner("churn", "c0ffee", allocate(split(0.5, 0.5)))
    found = [assigner.bucket(e) for e in ("u1", "user-42", "ключ", ("a", "b"), ("ab", ""))]
    assert found == PINNED


PINNED = [393, 7735, 862, 8470, 8684]


@given(
    st.lists(
        st.one_of(
            st.text(min_size=1, max_size=20),
            st.tuples(st.text(min_size=1, max_size=5), st.text(min_size=1, max_size=5)),
        ),
        max_size=50,
    )
)
def test_many_and_one_give_the_same_answer(entities: list[str | tuple[str, ...]]) -> None:
    assigner = Assigner("m", "s", allocate(split(0.4, 0.35, 0.25)))
    names = [assigner.versions[index] for index in assigner.many(entities)]
    assert names == [assigner.one(entity) for entity in entities]


@pytest.mark.parametrize("others", [(), (0.05,), (0.05, 0.15)])
def test_ramping_moves_only_from_a_to_b(others: tuple[float, ...]) -> None:
    allocation: Allocation | None = None
    before: np.ndarray | None = None
    for share in (0.1, 0.2, 0.5):
        rest = 1 - share - sum(others)
        weights = split(rest, share, *others)
        allocation = allocate(weights, allocation)
        now = Assigner("m", "s", allocation).many(IDS)
        if before is not None:
            moved = before != now
            assert set(before[moved].tolist()) == {0}
            assert set(now[moved].tolist()) == {1}
        before = now


weights = st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(any)


@given(st.lists(weights, min_size=2, max_size=8))
def test_every_change_moves_exactly_what_must_move(steps: list[list[int]]) -> None:
    allocation: Allocation | None = None
    for step in steps:
        total = sum(step)
        after = allocate(split(*(share / total for share in step)), allocation)
        if allocation is not None:
            old, new = owners(allocation), owners(after)
            had = {v: old.count(v) for v in {*old, *new}}
            has = {v: new.count(v) for v in {*old, *new}}
            moves = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
            assert len(moves) == sum(max(0, had[v] - has[v]) for v in had)
            assert all(has[a] < had[a] and has[b] > had[b] for a, b in moves)
        allocation = after


@given(weights)
def test_every_version_gets_its_share_to_a_bucket(step: list[int]) -> None:
    total = sum(step)
    allocation = allocate(split(*(share / total for share in step)))
    held = owners(allocation)
    assert len(held) == BUCKETS
    for index, share in enumerate(step):
        assert abs(held.count(f"v{index + 1}") - share / total * BUCKETS) < 1


def test_a_first_split_leaves_the_production_version_what_it_keeps() -> None:
    after = allocate({"v7": 0.9, "v12": 0.1}, (("v7", BUCKETS),))
    assert after == (("v7", 9000), ("v12", 1000))


def test_versions_are_ordered_by_number_not_by_text() -> None:
    assert allocate({"v10": 0.5, "v9": 0.5}) == (("v9", 5000), ("v10", 5000))


def test_a_version_that_leaves_the_split_loses_everything() -> None:
    before = allocate(split(0.4, 0.3, 0.3))
    after = allocate({"v1": 0.4, "v3": 0.6}, before)
    assert [b for a, b in zip(owners(before), owners(after), strict=True) if a != "v2"] == [
        a for a in owners(before) if a != "v2"
    ]


@pytest.mark.parametrize(
    "bad", [{}, {"v1": 0.0}, {"v1": 1.5, "v2": -0.5}, {f"v{i}": 1.0 for i in range(1, 102)}]
)
def test_impossible_weights_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        allocate(bad)
