"""The commands of careful releases: shadow versions, guards and ramps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from neuralstream_core.registry import rollout_rules, rules
from neuralstream_core.registry.issuer import Issuer
from neuralstream_core.registry.journal import Change, Command, Committed, payload_of
from neuralstream_core.registry.records import ModelRecord, model_key
from neuralstream_core.registry.rollout import Action, Findings, GuardRule, RampStep
from neuralstream_core.registry.rollout_rules import Broken
from neuralstream_core.time import from_micros

if TYPE_CHECKING:
    from datetime import datetime

    from neuralstream_core.registry.registry import Registry

__all__ = ["Rollouts"]

_FINDINGS: Final = "FINDINGS"


class Rollouts:
    """Shadow versions, guards and ramps of the models of a registry; see `rollout_rules`.

    Raises (every method):
        NotFound: no such model or version.
        Unavailable: the table cannot be reached, or others kept changing the model.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def set_shadow(
        self, model: str, version: str, sample: float, by: Issuer, *, reason: str | None = None
    ) -> Committed:
        """Show a version the traffic of the others.

        Raises:
            Conflict: also when it is archived and a feature view it needs was deleted meanwhile.
        """
        return self._registry.revive(
            Command(model, "set_shadow", by, payload_of(version, sample, reason), reason),
            lambda m, versions: rollout_rules.set_shadow(m, version, sample, versions, self._now()),
            [version],
        )

    def end_shadow(self, model: str, by: Issuer) -> Committed:
        """Show no version the traffic of the others any more."""
        command = Command(model, "end_shadow", by)
        return self._registry.change(command, lambda m, _: rollout_rules.end_shadow(m))

    def set_guard(
        self,
        model: str,
        guard_rules: Sequence[GuardRule],
        action: Action,
        by: Issuer,
        *,
        reason: str | None = None,
    ) -> Committed:
        """Set a model's guard."""
        asked = payload_of([rule.model_dump() for rule in guard_rules], action, reason)
        return self._registry.change(
            Command(model, "set_guard", by, asked, reason),
            lambda m, _: rollout_rules.set_guard(m, guard_rules, action, self._now()),
        )

    def remove_guard(self, model: str, by: Issuer) -> Committed:
        """Leave a model without a guard."""
        command = Command(model, "remove_guard", by)
        return self._registry.change(command, lambda m, _: rollout_rules.remove_guard(m))

    def trip(self, broken: Broken, by: Issuer) -> Committed:
        """Do what the guard says about a version that broke a rule.

        Raises:
            Conflict: the model was changed since it was judged; nothing is done.
        """

        def decide(m: ModelRecord, versions: rules.Versions) -> Change:
            return rollout_rules.trip(m, broken, versions, self._now())

        command = Command(broken.model.name, "trip", by, reason=f"guard: {broken.found}")
        return self._registry.change(command, decide)

    def start_ramp(
        self,
        model: str,
        version: str,
        steps: Sequence[RampStep],
        by: Issuer,
        *,
        reason: str | None = None,
    ) -> Committed:
        """Move traffic to a version step by step.

        Raises:
            Conflict: also when it is archived and a feature view it needs was deleted meanwhile.
        """
        asked = payload_of(version, [step.model_dump() for step in steps], reason)
        return self._registry.revive(
            Command(model, "start_ramp", by, asked, reason),
            lambda m, versions: rollout_rules.start_ramp(m, version, steps, versions, self._now()),
            [version],
        )

    def advance(self, seen: ModelRecord, by: Issuer, *, reason: str) -> Committed:
        """Take the next step of a ramp.

        Raises:
            Conflict: the model was changed since it was judged, or the version cannot be promoted.
        """
        return self._registry.change(
            Command(seen.name, "advance", by, reason=reason),
            lambda m, versions: rollout_rules.advance(m, seen, versions, self._now()),
        )

    def note(self, model: str, findings: Findings) -> None:
        """Keep what the last evaluation found, in place of what the one before did."""
        item = {"PK": model_key(self._registry.namespace, model), "SK": _FINDINGS}
        self._registry.table.put({**item, "findings": findings.model_dump_json()})

    def findings(self, model: str) -> Findings | None:
        """What the last evaluation found; ``None`` before the first one."""
        item = self._registry.table.get(model_key(self._registry.namespace, model), _FINDINGS)
        return None if item is None else Findings.model_validate_json(item["findings"])

    def _now(self) -> datetime:
        return from_micros(self._registry.clock())
