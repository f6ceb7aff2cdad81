"""The rules of stages, promotion, rollback and split: pure decisions on records, no I/O.

::

             register            promote
    (nothing) ──────▶ staging ─────────────▶ production
                       ▲   │                   │     ▲
               restore │   │ archive   promote │     │ rollback (of the version that replaced it)
                       │   ▼      or rollback  ▼     │
                      archived ◀────────────  archived ── promote ──▶ production
                      (retired)              (in history)

* At most one version is in production. Promoting another archives it and puts it on the model's
  ``history``; `rollback` takes the latest of the history back and archives what it replaces.
* Promotion and rollback end a running split: afterwards all traffic goes to the production version.
* Racing promotions without ``expected_production`` happen one after the other (last wins); with it, those
  that find another production version than expected are refused.
* An archived version that is READY can be promoted again, and may be named in a split, which takes it
  back to staging. Both need its feature views to be still those it was registered with, and a retired
  version becomes a dependent of them again (`Change.actions`, added by the registry).
* Promotion, rollback and a split that is set or ended end a running ramp and arm the guard
  (`rollout_rules`).
* A version is in the history at most once, and never while it is in production.
* Only what serves no traffic can be archived. Archiving a version of the history takes it out of
  rollback's reach. ``retired`` versions no longer hold their feature views.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import fsum
from typing import Any, Final, TypeAlias

from neuralstream_core.errors import Conflict, FieldError, Invalid
from neuralstream_core.registry.allocation import allocate, allocation_in_force
from neuralstream_core.registry.events import EventKind
from neuralstream_core.registry.journal import Change
from neuralstream_core.registry.records import (
    Gate,
    ModelRecord,
    Stage,
    VersionRecord,
    VersionStatus,
    number_of,
)

__all__ = [
    "ANY",
    "MAX_HISTORY",
    "MAX_SPLIT",
    "archive",
    "end_split",
    "promote",
    "require_ready",
    "restore",
    "rollback",
    "set_split",
    "unmet",
]

ANY: Final = "*"
"""``expected_production`` of a caller who does not care which version is in production."""

MAX_HISTORY: Final = 50
"""How many former production versions can be rolled back to, one after the other."""

MAX_SPLIT: Final = 20
"""Versions one split may name."""

_SUM_TOLERANCE: Final = 1e-6

Versions: TypeAlias = Callable[[str], VersionRecord]
"""Looks up a version of the model at hand; raises NotFound."""


def promote(
    model: ModelRecord,
    version: str,
    versions: Versions,
    *,
    expected_production: str | None = ANY,
) -> Change:
    """staging or archived → production; what was in production → archived.

    Raises:
        Conflict: not READY, in production already, another production version than expected, or a gate
            of the model is not met.
    """
    _expect(model, expected_production)
    target = versions(version)
    require_ready(target)
    # By the model, which the change is committed against: the version's own stage was read later.
    if version == model.production_version and model.ab_split is None:
        raise Conflict(f"{version} is already in production", code="already_production")
    if failed := unmet(model.require, target.metrics):
        raise Conflict(f"{version} does not pass: {'; '.join(failed)}", code="gate_not_met")
    return _take_over(model, target, versions, EventKind.PROMOTED, _pushed(model, target))


def rollback(
    model: ModelRecord,
    versions: Versions,
    *,
    expected_production: str | None = ANY,
) -> Change:
    """The former production version → production; the present one → archived.

    Raises:
        Conflict: there is none to go back to, or another production version than expected.
    """
    _expect(model, expected_production)
    if not model.history:
        raise Conflict(
            f"{model.name} has no former production version to return to", code="no_history"
        )
    target = versions(model.history[-1])
    return _take_over(model, target, versions, EventKind.ROLLED_BACK, model.history[:-1])


def restore(model: ModelRecord, version: str, versions: Versions) -> Change:
    """archived → staging.

    Raises:
        Conflict: not READY, or not archived.
    """
    target = versions(version)
    require_ready(target)
    if target.stage is not Stage.ARCHIVED:
        raise Conflict(f"{version} is in {target.stage}, not archived", code="not_archived")
    moved = target.model_copy(update={"stage": Stage.STAGING, "retired": False})
    return _out_of_history(model, moved, EventKind.RESTORED)


def archive(model: ModelRecord, version: str, versions: Versions) -> Change:
    """staging or archived → archived for good, unless restored.

    Raises:
        Conflict: it is in production, in the running split or the shadow, still being uploaded, or archived
            already.
    """
    target = versions(version)
    if version == model.production_version:
        raise Conflict(
            f"{version} is in production; promote another or roll back first", code="in_production"
        )
    if version in (model.ab_split or {}):
        raise Conflict(
            f"{version} is in the running split; end or change it first", code="in_split"
        )
    if model.shadow is not None and version == model.shadow.version:
        raise Conflict(f"{version} is the shadow; end that first", code="in_shadow")
    if target.status is VersionStatus.PENDING_UPLOAD:
        raise Conflict(f"{version} waits for its upload", code="not_ready")
    if target.retired:
        raise Conflict(f"{version} is already archived", code="archived")
    moved = target.model_copy(update={"stage": Stage.ARCHIVED, "retired": True})
    return _out_of_history(model, moved, EventKind.ARCHIVED)


def set_split(model: ModelRecord, split: Mapping[str, float], versions: Versions) -> Change:
    """Share the traffic between versions.

    Args:
        split: weight by version, each in [0, 1], together 1 (within 1e-6).

    Raises:
        Invalid: the weights are wrong.
        Conflict: a version is not READY.
    """
    errors = [
        FieldError(f"split.{version}", "a weight lies between 0 and 1")
        for version, weight in split.items()
        if not 0.0 <= weight <= 1.0
    ]
    if errors:
        raise Invalid("a weight lies between 0 and 1", errors=errors)
    if not 1 <= len(split) <= MAX_SPLIT:
        raise Invalid.at("split", f"names 1 to {MAX_SPLIT} versions")
    if abs(fsum(split.values()) - 1.0) > _SUM_TOLERANCE:
        raise Invalid.at("split", f"the weights sum to {fsum(split.values()):g}, not 1")
    targets = [versions(name) for name in split]
    for target in targets:
        require_ready(target)
    revived = [
        target.model_copy(update={"stage": Stage.STAGING, "retired": False})
        for target in targets
        if target.stage is Stage.ARCHIVED
    ]
    ordered = {name: float(split[name]) for name in sorted(split, key=number_of)}
    allocation = allocate(ordered, allocation_in_force(model))
    return Change(
        model=_steered(model, {"ab_split": ordered, "allocation": allocation}),
        kind=EventKind.SPLIT_SET,
        versions=revived,
        stages={version.version: version.stage for version in revived},
        data={"before": model.ab_split},
    )


def end_split(model: ModelRecord) -> Change:
    """All traffic to the production version again.

    Raises:
        Conflict: no split is running.
    """
    if model.ab_split is None:
        raise Conflict(f"{model.name} has no running split", code="no_split")
    return Change(
        model=_steered(model, {"ab_split": None, "allocation": None}),
        kind=EventKind.SPLIT_ENDED,
        data={"before": model.ab_split},
    )


def unmet(require: Mapping[str, Gate], metrics: Mapping[str, float]) -> list[str]:
    """The gates that ``metrics`` do not pass, each with its numbers."""
    failed: list[str] = []
    for name, gate in sorted(require.items()):
        value = metrics.get(name.removeprefix("metrics."))
        if value is None:
            failed.append(f"{name} was not recorded")
            continue
        if gate.min is not None and value < gate.min:
            failed.append(f"{name} is {value:g}, at least {gate.min:g} is required")
        if gate.max is not None and value > gate.max:
            failed.append(f"{name} is {value:g}, at most {gate.max:g} is allowed")
    return failed


def _out_of_history(model: ModelRecord, moved: VersionRecord, kind: EventKind) -> Change:
    history = tuple(v for v in model.history if v != moved.version)
    return Change(
        model=model.model_copy(update={"history": history}),
        kind=kind,
        version=moved.version,
        versions=[moved],
        stages={moved.version: moved.stage},
    )


def _take_over(
    model: ModelRecord,
    target: VersionRecord,
    versions: Versions,
    kind: EventKind,
    history: Sequence[str],
) -> Change:
    moved = [target.model_copy(update={"stage": Stage.PRODUCTION, "retired": False})]
    replaced = model.production_version
    if replaced is not None and replaced != target.version:
        moved.append(versions(replaced).model_copy(update={"stage": Stage.ARCHIVED}))
    return Change(
        model=_steered(
            model,
            {
                "production_version": target.version,
                "ab_split": None,
                "allocation": None,
                "history": tuple(history),
            },
        ),
        kind=kind,
        version=target.version,
        versions=moved,
        stages={v.version: v.stage for v in moved},
        data={"replaced": replaced, "ended_split": model.ab_split},
    )


def _steered(model: ModelRecord, traffic: Mapping[str, Any]) -> ModelRecord:
    """The model with other traffic: a ramp ends, a guard is armed, a shadow that takes traffic is none."""
    after = model.model_copy(update={**traffic, "ramp": None})
    changes: dict[str, Any] = {}
    if after.guard is not None:
        changes["guard"] = after.guard.model_copy(update={"armed": True})
    shadow = after.shadow
    if shadow is not None and shadow.version in {after.production_version, *(after.ab_split or ())}:
        changes["shadow"] = None
    return after.model_copy(update=changes)


def _pushed(model: ModelRecord, target: VersionRecord) -> Sequence[str]:
    former = model.production_version
    history = tuple(v for v in model.history if v not in (target.version, former))
    if former is None or former == target.version:
        return history
    return (*history, former)[-MAX_HISTORY:]


def _expect(model: ModelRecord, expected: str | None) -> None:
    if expected not in (ANY, model.production_version):
        raise Conflict(
            f"{model.production_version or 'no version'} is in production, not "
            f"{expected or 'none'} as expected",
            code="production_changed",
        )


def require_ready(version: VersionRecord) -> None:
    """Let only a version pass that can serve.

    Raises:
        Conflict: it is not READY.
    """
    if version.status is not VersionStatus.READY:
        reason = f": {version.reason}" if version.reason else ""
        raise Conflict(f"{version.version} is {version.status}{reason}", code="not_ready")
