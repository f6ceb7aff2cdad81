"""The rules of shadow versions, guards and ramps: pure decisions on records, no I/O.

* A shadow takes no traffic: neither in production nor in the split. It ends when its version takes some.
* A guard acts on what it was judged by: when the production version, the split or the guard itself is
  another than the evaluation saw, the decision is refused, so a person's change always goes first.
* A guard that rolled back or announced is disarmed, so that it cannot undo one release after another for a
  cause that no release has. Whoever next promotes, rolls back, sets a split or sets the guard arms it.
* A ramp moves on only from the step that the evaluation saw; any other change of the traffic ends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal

from neuralstream_core.errors import Conflict, Invalid
from neuralstream_core.registry import rules
from neuralstream_core.registry.events import EventKind
from neuralstream_core.registry.journal import Change
from neuralstream_core.registry.records import ModelRecord, Stage
from neuralstream_core.registry.rollout import (
    Action,
    Guard,
    GuardRule,
    Ramp,
    RampStep,
    Shadow,
    Trip,
)

if TYPE_CHECKING:
    from datetime import datetime

    from neuralstream_core.registry.rules import Versions

__all__ = [
    "GUARD_TRIPPED",
    "RAMP_ADVANCED",
    "Broken",
    "advance",
    "end_shadow",
    "remove_guard",
    "set_guard",
    "set_shadow",
    "start_ramp",
    "trip",
]

GUARD_TRIPPED: Final = "guard_tripped"
RAMP_ADVANCED: Final = "ramp_advanced"
"""Kinds of announcements."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that a version broke, and the model as it was judged.

    Attributes:
        found: what was measured, in a sentence.
    """

    model: ModelRecord
    version: str
    rule: GuardRule
    found: str


def set_shadow(
    model: ModelRecord, version: str, sample: float, versions: Versions, at: datetime
) -> Change:
    """Show a version the traffic of the others.

    Raises:
        Conflict: it is not READY or takes traffic itself, or the model serves nothing.
    """
    target = versions(version)
    rules.require_ready(target)
    if model.production_version is None and model.ab_split is None:
        raise Conflict(f"{model.name} has no version in production", code="not_in_production")
    if version == model.production_version or version in (model.ab_split or {}):
        raise Conflict(f"{version} takes traffic itself", code="takes_traffic")
    revived = []
    if target.stage is Stage.ARCHIVED:
        revived = [target.model_copy(update={"stage": Stage.STAGING, "retired": False})]
    return Change(
        model=model.model_copy(update={"shadow": Shadow(version=version, sample=sample, since=at)}),
        kind=EventKind.SHADOW_SET,
        version=version,
        versions=revived,
        stages={v.version: v.stage for v in revived},
        data={"sample": sample},
    )


def end_shadow(model: ModelRecord) -> Change:
    """Show no version the traffic of the others any more.

    Raises:
        Conflict: the model has no shadow.
    """
    if model.shadow is None:
        raise Conflict(f"{model.name} has no shadow version", code="no_shadow")
    return Change(
        model=model.model_copy(update={"shadow": None}),
        kind=EventKind.SHADOW_ENDED,
        version=model.shadow.version,
    )


def set_guard(
    model: ModelRecord, guard_rules: Sequence[GuardRule], action: Action, at: datetime
) -> Change:
    """Set a model's guard, armed; its last trip is kept."""
    last = None if model.guard is None else model.guard.last_trip
    guard = Guard(rules=tuple(guard_rules), action=action, since=at, last_trip=last)
    return Change(
        model=model.model_copy(update={"guard": guard}),
        kind=EventKind.GUARD_SET,
        data={"rules": [rule.text for rule in guard_rules], "action": action},
    )


def remove_guard(model: ModelRecord) -> Change:
    """Leave a model without a guard.

    Raises:
        Conflict: it has none.
    """
    if model.guard is None:
        raise Conflict(f"{model.name} has no guard", code="no_guard")
    return Change(model=model.model_copy(update={"guard": None}), kind=EventKind.GUARD_REMOVED)


def trip(model: ModelRecord, broken: Broken, versions: Versions, at: datetime) -> Change:
    """Do what the guard says about a version that broke a rule.

    Raises:
        Conflict: the production version, the split or the guard is no longer what was judged.
    """
    seen, guard = broken.model, model.guard
    if guard is None or not guard.armed or guard != seen.guard or not _same_traffic(model, seen):
        raise Conflict(f"{model.name} was changed since it was judged", code="superseded")
    done, change = _action(model, broken.version, guard.action, versions)
    tripped = Trip(
        at=at, version=broken.version, rule=broken.rule.text, found=broken.found, done=done
    )
    after = guard.model_copy(update={"armed": done == "split_ended", "last_trip": tripped})
    told = {"version": broken.version, "rule": tripped.rule, "found": broken.found, "done": done}
    return replace(
        change,
        model=change.model.model_copy(update={"guard": after}),
        data={**change.data, "guard": told},
        announcement={"kind": GUARD_TRIPPED, "status": done, "summary": broken.found, **told},
    )


def start_ramp(
    model: ModelRecord, version: str, steps: Sequence[RampStep], versions: Versions, at: datetime
) -> Change:
    """Give a version the share of the first step; the others follow by `advance`.

    Raises:
        Invalid: the shares do not rise from above 0 to at most 1, or the first one is 1 already.
        Conflict: the version is not READY or in production, no version is, or the last step would
            promote it and a gate of the model is not met.
    """
    shares = [step.share for step in steps]
    if not shares or not 0 < shares[0] < 1 or shares[-1] > 1:
        raise Invalid.at("ramp.steps", "the first share is above 0 and below 1, the last at most 1")
    if any(later <= earlier for earlier, later in pairwise(shares)):
        raise Invalid.at("ramp.steps", "each share is greater than the one before")
    if any((step.seconds is None) != (step is steps[-1]) for step in steps):
        raise Invalid.at("ramp.steps", "every step but the last one has a duration")
    if model.production_version is None:
        raise Conflict(f"{model.name} has no version in production", code="not_in_production")
    if version == model.production_version:
        raise Conflict(f"{version} is already in production", code="already_production")
    failed = rules.unmet(model.require, versions(version).metrics) if shares[-1] == 1 else []
    if failed:
        raise Conflict(f"{version} does not pass: {'; '.join(failed)}", code="gate_not_met")
    ramp = Ramp(version=version, steps=tuple(steps), step=0, since=at)
    change = rules.set_split(model, _shares(model, ramp), versions)
    return _on_step(change, ramp)


def advance(model: ModelRecord, seen: ModelRecord, versions: Versions, at: datetime) -> Change:
    """Take the next step of the ramp that the evaluation saw.

    Raises:
        Conflict: the traffic or the ramp is no longer what was judged; or the version cannot be
            promoted.
    """
    ramp = model.ramp
    if ramp is None or ramp != seen.ramp or not _same_traffic(model, seen):
        raise Conflict(f"{model.name} was changed since it was judged", code="superseded")
    moved = ramp.model_copy(update={"step": ramp.step + 1, "since": at})
    share = moved.steps[moved.step].share
    told = {"version": ramp.version, "step": moved.step, "share": share}
    if share == 1:
        change = rules.promote(model, ramp.version, versions)
        change = replace(change, data={**change.data, "ramp": told})
    else:
        change = _on_step(rules.set_split(model, _shares(model, moved), versions), moved)
    percent = f"{100 * share:g} %"
    return replace(
        change,
        model=change.model.model_copy(update={"guard": model.guard}),
        announcement={
            "kind": RAMP_ADVANCED,
            "status": "promoted" if share == 1 else percent,
            "summary": f"{ramp.version} of {model.name} now gets {percent} of the traffic",
            **told,
        },
    )


def _on_step(change: Change, ramp: Ramp) -> Change:
    """The split of a step, with the ramp unless the step is its last."""
    step = ramp.steps[ramp.step]
    going_on = None if step.seconds is None else ramp
    return replace(
        change,
        model=change.model.model_copy(update={"ramp": going_on}),
        data={
            **change.data,
            "ramp": {"version": ramp.version, "step": ramp.step, "share": step.share},
        },
    )


def _shares(model: ModelRecord, ramp: Ramp) -> dict[str, float]:
    share = ramp.steps[ramp.step].share
    return {str(model.production_version): round(1 - share, 12), ramp.version: share}


def _same_traffic(model: ModelRecord, seen: ModelRecord) -> bool:
    return (
        model.production_version == seen.production_version
        and model.ab_split == seen.ab_split
        and model.ramp == seen.ramp
    )


def _action(
    model: ModelRecord, version: str, action: Action, versions: Versions
) -> tuple[Literal["rolled_back", "split_ended", "announced"], Change]:
    in_production = version == model.production_version
    if action != "announce" and model.ab_split is not None and not in_production:
        return "split_ended", rules.end_split(model)
    if action == "rollback" and in_production and model.history:
        return "rolled_back", rules.rollback(model, versions)
    return "announced", Change(model=model, kind=EventKind.GUARD_TRIPPED, version=version)
