"""The rules of shadow versions, guards and ramps on bare records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from neuralstream_core.errors import Conflict, Invalid
from neuralstream_core.registry import rollout_rules, rules
from neuralstream_core.registry.events import EventKind
from neuralstream_core.registry.records import (
    Format,
    Gate,
    ModelRecord,
    Stage,
    VersionRecord,
    VersionStatus,
)
from neuralstream_core.registry.requests import GuardRequest, SplitRequest
from neuralstream_core.registry.rollout import GuardRule, RampStep
from neuralstream_core.registry.rollout_rules import Broken

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
RULE = GuardRule(metric="error_rate", max=0.05)
STAGES = {"v1": Stage.ARCHIVED, "v2": Stage.PRODUCTION, "v3": Stage.STAGING, "v4": Stage.STAGING}


def versions(name: str) -> VersionRecord:
    return VersionRecord(
        model="m",
        version=name,
        status=VersionStatus.READY if name != "v9" else VersionStatus.PENDING_UPLOAD,
        stage=STAGES.get(name, Stage.STAGING),
        format=Format.ONNX,
        digest="0" * 64,
        size=1,
        created_at=NOW,
        created_by="ada",
        metrics={"auc": 0.8},
    )


def model(**more: Any) -> ModelRecord:
    """v2 in production, v1 before it, and a guard."""
    given = {"production_version": "v2", "history": ("v1",), **more}
    return ModelRecord(name="m", salt="s", created_at=NOW, updated_at=NOW, **given)


def guarded(action: Any = "rollback", **more: Any) -> ModelRecord:
    return rollout_rules.set_guard(model(**more), [RULE], action, NOW).model


def broken(seen: ModelRecord, version: str) -> Broken:
    return Broken(seen, version, RULE, "12 % of the rows failed")


SPLIT = {"v2": 0.9, "v3": 0.1}


@given(
    action=st.sampled_from(["rollback", "end_split", "announce"]),
    split=st.sampled_from([None, SPLIT]),
    version=st.sampled_from(["v2", "v3"]),
    former=st.sampled_from([(), ("v1",)]),
)
def test_a_guard_undoes_what_the_broken_version_got_and_nothing_else(
    action: str, split: Any, version: str, former: tuple[str, ...]
) -> None:
    seen = guarded(action, ab_split=split, history=former)
    change = rollout_rules.trip(seen, broken(seen, version), versions, LATER)
    after = change.model
    assert after.guard is not None
    assert after.guard.last_trip is not None
    ends = action != "announce" and split is not None and version == "v3"
    back = action == "rollback" and version == "v2" and bool(former)
    assert after.production_version == ("v1" if back else "v2")
    assert after.ab_split == (None if ends or back else split)
    done = "split_ended" if ends else "rolled_back" if back else "announced"
    assert after.guard.last_trip.done == done
    assert after.guard.armed == ends
    assert change.announcement is not None
    assert change.announcement["summary"] == "12 % of the rows failed"
    assert change.data["guard"]["version"] == version


def test_a_disarmed_guard_does_nothing_until_somebody_steers() -> None:
    seen = guarded()
    after = rollout_rules.trip(seen, broken(seen, "v2"), versions, LATER).model
    with pytest.raises(Conflict, match="changed since it was judged"):
        rollout_rules.trip(after, broken(after, "v1"), versions, LATER)
    for steered in (
        rules.promote(after, "v3", versions).model,
        rules.set_split(after, {"v1": 0.5, "v3": 0.5}, versions).model,
        rollout_rules.set_guard(after, [RULE], "rollback", LATER).model,
    ):
        assert steered.guard is not None
        assert steered.guard.armed
        assert steered.guard.last_trip is not None


@pytest.mark.parametrize(
    "steer",
    [
        lambda m: rules.promote(m, "v4", versions).model,
        lambda m: rules.end_split(m).model,
        lambda m: rules.set_split(m, {"v2": 0.5, "v3": 0.5}, versions).model,
        lambda m: rollout_rules.set_guard(m, [RULE], "announce", LATER).model,
        lambda m: rollout_rules.remove_guard(m).model,
    ],
)
def test_a_guard_that_judged_another_state_does_nothing(steer: Any) -> None:
    seen = guarded(ab_split=SPLIT)
    with pytest.raises(Conflict) as refused:
        rollout_rules.trip(steer(seen), broken(seen, "v3"), versions, LATER)
    assert refused.value.code == "superseded"


def steps(*shares: float) -> list[RampStep]:
    return [
        RampStep(share=share, seconds=None if share == shares[-1] else 3600) for share in shares
    ]


@given(st.lists(st.integers(1, 100), min_size=1, max_size=6, unique=True).map(sorted))
def test_a_ramp_gives_the_version_each_share_in_turn_and_promotes_it_for_the_whole(
    shares: list[int],
) -> None:
    wanted = [share / 100 for share in shares]
    if wanted[0] == 1:
        with pytest.raises(Invalid):
            rollout_rules.start_ramp(model(), "v3", steps(*wanted), versions, NOW)
        return
    now = rollout_rules.start_ramp(model(), "v3", steps(*wanted), versions, NOW).model
    seen = [(now.ab_split or {})["v3"]]
    while now.ramp is not None:
        assert now.ramp.next_at == now.ramp.since + timedelta(hours=1)
        now = rollout_rules.advance(now, now, versions, LATER).model
        seen.append((now.ab_split or {"v3": 1.0})["v3"])
    assert seen == wanted
    assert now.production_version == ("v3" if wanted[-1] == 1 else "v2")


def test_a_ramp_moves_on_only_from_the_step_that_was_judged() -> None:
    first = rollout_rules.start_ramp(model(), "v3", steps(0.1, 0.5, 1.0), versions, NOW).model
    second = rollout_rules.advance(first, first, versions, LATER).model
    for now in (
        second,
        rules.end_split(first).model,
        rules.promote(first, "v4", versions).model,
        rules.set_split(first, {"v2": 0.3, "v3": 0.7}, versions).model,
    ):
        with pytest.raises(Conflict) as refused:
            rollout_rules.advance(now, first, versions, LATER)
        assert refused.value.code == "superseded"
        assert now is second or now.ramp is None


@pytest.mark.parametrize(
    ("version", "shares", "more", "code"),
    [
        ("v3", (0.1, 1.0), {"production_version": None}, "not_in_production"),
        ("v2", (0.1, 1.0), {}, "already_production"),
        ("v9", (0.1, 0.5), {}, "not_ready"),
        ("v3", (0.1, 1.0), {"require": {"metrics.auc": Gate(min=0.9)}}, "gate_not_met"),
    ],
)
def test_what_cannot_be_ramped_up(
    version: str, shares: Any, more: dict[str, Any], code: str
) -> None:
    with pytest.raises(Conflict) as refused:
        rollout_rules.start_ramp(model(**more), version, steps(*shares), versions, NOW)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "wrong",
    [
        [(0.0, 60), (1.0, None)],
        [(0.5, 60), (0.5, None)],
        [(0.5, 60), (1.5, None)],
        [(0.5, None), (1.0, None)],
        [(0.5, 60), (1.0, 60)],
    ],
)
def test_steps_that_are_refused(wrong: list[tuple[float, int | None]]) -> None:
    asked = [RampStep(share=share, seconds=seconds) for share, seconds in wrong]
    with pytest.raises(Invalid):
        rollout_rules.start_ramp(model(), "v3", asked, versions, NOW)


def test_the_shadow_ends_when_its_version_takes_traffic() -> None:
    shadowed = rollout_rules.set_shadow(model(), "v3", 0.5, versions, NOW).model
    assert rules.promote(shadowed, "v3", versions).model.shadow is None
    assert rules.set_split(shadowed, SPLIT, versions).model.shadow is None
    assert rules.promote(shadowed, "v4", versions).model.shadow == shadowed.shadow
    with pytest.raises(Conflict) as refused:
        rules.archive(shadowed, "v3", versions)
    assert refused.value.code == "in_shadow"
    assert rollout_rules.end_shadow(shadowed).kind is EventKind.SHADOW_ENDED


def test_an_archived_version_that_becomes_the_shadow_is_in_staging_again() -> None:
    change = rollout_rules.set_shadow(model(), "v1", 1.0, versions, NOW)
    assert [(v.version, v.stage) for v in change.versions] == [("v1", Stage.STAGING)]


@pytest.mark.parametrize(
    ("now", "version", "code"),
    [
        (model(), "v2", "takes_traffic"),
        (model(ab_split=SPLIT), "v3", "takes_traffic"),
        (model(), "v9", "not_ready"),
        (model(production_version=None), "v3", "not_in_production"),
    ],
)
def test_what_cannot_be_a_shadow(now: ModelRecord, version: str, code: str) -> None:
    with pytest.raises(Conflict) as refused:
        rollout_rules.set_shadow(now, version, 1.0, versions, NOW)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "rule",
    [
        {"metric": "error_rate"},
        {"metric": "error_rate", "max": 0.1, "worse_than_baseline": 0.1},
        {"metric": "error_rate", "max": 1.0},
        {"metric": "error_rate", "min": 0.1},
        {"metric": "p99_ms", "max": 0.0},
        {"metric": "drift", "max": 0.01},
        {"metric": "drift", "worse_than_baseline": 0.2},
        {"metric": "uptime", "max": 0.1},
        {"metric": "error_rate", "max": 0.1, "windows": 3, "window": "1h"},
    ],
)
def test_rules_that_are_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GuardRequest.model_validate({"rules": [rule]})


def test_a_ramp_is_read_with_its_durations() -> None:
    body = SplitRequest.model_validate_json(
        '{"ramp": {"version": "v3", "steps": [[0.05, "90s"], [0.25, "4h"], [1, null]]}}'
    )
    assert body.ramp is not None
    assert [(step.share, step.seconds) for step in body.ramp.parsed()] == [
        (0.05, 90),
        (0.25, 14400),
        (1.0, None),
    ]
    for wrong in ("{}", '{"split": {"v1": 1}, "ramp": {"version": "v3", "steps": [[0.1, null]]}}'):
        with pytest.raises(ValidationError):
            SplitRequest.model_validate_json(wrong)
