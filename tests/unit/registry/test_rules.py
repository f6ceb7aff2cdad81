"""The rules of the registry on bare records."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_core.errors import Conflict, Invalid, NotFound
from neuralstream_core.registry import rules
from neuralstream_core.registry.records import (
    Format,
    Gate,
    ModelRecord,
    Stage,
    VersionRecord,
    VersionStatus,
    number_of,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def model(**more: Any) -> ModelRecord:
    return ModelRecord(name="m", salt="s", created_at=NOW, updated_at=NOW, **more)


def versions(**more: VersionRecord) -> rules.Versions:
    def find(name: str) -> VersionRecord:
        if name not in more:
            raise NotFound(name)
        return more[name]

    return find


def version(name: str, stage: Stage = Stage.STAGING, **more: Any) -> VersionRecord:
    return VersionRecord(
        model="m",
        version=name,
        status=more.pop("status", VersionStatus.READY),
        stage=stage,
        format=Format.ONNX,
        digest="0" * 64,
        size=1,
        created_at=NOW,
        created_by="ada",
        **more,
    )


def test_history_keeps_only_so_many_and_drops_the_oldest() -> None:
    former = tuple(f"v{n}" for n in range(1, rules.MAX_HISTORY + 1))
    now = model(history=former, production_version="v100")
    change = rules.promote(
        now, "v101", versions(v100=version("v100", Stage.PRODUCTION), v101=version("v101"))
    )
    assert change.model.history == (*former[1:], "v100")


@given(
    value=st.floats(allow_nan=False),
    low=st.none() | st.floats(allow_nan=False),
    high=st.none() | st.floats(allow_nan=False),
)
def test_a_gate_is_passed_exactly_within_its_bounds(
    value: float, low: float | None, high: float | None
) -> None:
    failed = rules.unmet({"metrics.auc": Gate(min=low, max=high)}, {"auc": value})
    assert bool(failed) == (
        (low is not None and value < low) or (high is not None and value > high)
    )


def test_an_unmet_gate_blocks_promotion_but_not_rollback() -> None:
    gated = model(require={"metrics.auc": Gate(min=0.9)}, history=("v1",), production_version="v2")
    find = versions(
        v1=version("v1", Stage.ARCHIVED, metrics={"auc": 0.5}),
        v2=version("v2", Stage.PRODUCTION),
        v3=version("v3", metrics={"auc": 0.8}),
    )
    with pytest.raises(Conflict, match=r"metrics.auc is 0.8, at least 0.9 is required"):
        rules.promote(gated, "v3", find)
    assert rules.rollback(gated, find).model.production_version == "v1"


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=rules.MAX_SPLIT))
def test_weights_that_sum_to_one_are_taken_in_the_order_of_versions(shares: list[int]) -> None:
    names = [f"v{n}" for n in range(len(shares), 0, -1)]
    split = {name: share / sum(shares) for name, share in zip(names, shares, strict=True)}
    change = rules.set_split(model(), split, versions(**{n: version(n) for n in names}))
    assert change.model.ab_split == split
    numbers = [number_of(name) for name in change.model.ab_split]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize(
    "split",
    [
        {},
        {"v1": 0.999},
        {"v1": 0.6, "v2": 0.6},
        {"v1": 2.0, "v2": -1.0},
        {"v1": float("nan")},
        {f"v{n}": 1 / 21 for n in range(1, 22)},
    ],
)
def test_other_weights_are_refused(split: dict[str, float]) -> None:
    find = versions(**{f"v{n}": version(f"v{n}") for n in range(1, 22)})
    with pytest.raises(Invalid):
        rules.set_split(model(), split, find)


@pytest.mark.parametrize(
    "bad",
    [
        version("v1", status=VersionStatus.PENDING_UPLOAD),
        version("v1", status=VersionStatus.REJECTED, reason="no model"),
    ],
    ids=["pending", "rejected"],
)
def test_only_ready_versions_can_be_promoted_or_share_traffic(bad: VersionRecord) -> None:
    with pytest.raises(Conflict):
        rules.promote(model(), "v1", versions(v1=bad))
    with pytest.raises(Conflict):
        rules.set_split(model(), {"v1": 1.0}, versions(v1=bad))


def test_an_archived_version_is_promoted_directly_and_leaves_the_history() -> None:
    now = model(history=("v1", "v2"), production_version="v3")
    find = versions(
        v1=version("v1", Stage.ARCHIVED, retired=False),
        v3=version("v3", Stage.PRODUCTION),
    )
    change = rules.promote(now, "v1", find)

    assert change.model.production_version == "v1"
    assert change.model.history == ("v2", "v3"), "rollback leads to what it replaced"
    assert change.stages == {"v1": Stage.PRODUCTION, "v3": Stage.ARCHIVED}


def test_a_retired_version_that_is_promoted_is_no_longer_retired() -> None:
    find = versions(v1=version("v1", Stage.ARCHIVED, retired=True))
    (moved,) = rules.promote(model(), "v1", find).versions

    assert (moved.stage, moved.retired) == (Stage.PRODUCTION, False)


def test_a_gate_holds_for_archived_versions_too() -> None:
    gated = model(require={"metrics.auc": Gate(min=0.9)})
    find = versions(v1=version("v1", Stage.ARCHIVED, metrics={"auc": 0.5}))
    with pytest.raises(Conflict, match="at least"):
        rules.promote(gated, "v1", find)


def test_an_archived_version_in_a_split_is_in_staging_again_and_stays_in_the_history() -> None:
    now = model(history=("v1",), production_version="v2")
    find = versions(v1=version("v1", Stage.ARCHIVED), v2=version("v2", Stage.PRODUCTION))
    change = rules.set_split(now, {"v1": 0.5, "v2": 0.5}, find)

    assert change.stages == {"v1": Stage.STAGING}
    assert [(v.version, v.stage) for v in change.versions] == [("v1", Stage.STAGING)]
    assert change.model.history == ("v1",), "the way back must stand while the two are compared"
    back = rules.rollback(
        change.model, versions(v1=change.versions[0], v2=version("v2", Stage.PRODUCTION))
    )
    assert (back.model.production_version, back.model.ab_split) == ("v1", None)
