"""Careful releases: ramps, shadow versions and guards, as a part of ``ns.models``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from neuralstream_client._sync.transport import Transport
from neuralstream_client.answers import GuardAnswer, ShadowAnswer, SplitAnswer
from neuralstream_client.call import Call, given, path

__all__ = ["Rollouts"]


class Rollouts:
    """Ramps, shadow versions and guards."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def ramp(
        self,
        model: str,
        version: str,
        steps: Sequence[tuple[float, str | None]],
        *,
        reason: str | None = None,
    ) -> SplitAnswer:
        """Move traffic to a version step by step; each step is taken only while the guard holds.

        Args:
            model: the model.
            version: the version that gets more traffic with each step.
            steps: share and for how long, ``[(0.05, "1h"), (0.25, "4h"), (1.0, None)]``; a last share of
                1 promotes the version.
            reason: recorded in the model's events.

        Raises:
            Conflict: the version is not READY or in production, or a promotion gate is not met.
        """
        ramp = {"version": version, "steps": [list(step) for step in steps]}
        body = {"ramp": ramp, **given(reason=reason)}
        call = Call.once("POST", path("/models/{}/ab-split", model), body=body)
        return self._transport.fetch(SplitAnswer, call)

    def shadow(
        self, model: str, version: str, *, sample: float = 1.0, reason: str | None = None
    ) -> ShadowAnswer:
        """Show a version the traffic of the others; it predicts, is counted and logged, and never answers.

        Args:
            model: the model.
            version: a version that takes no traffic.
            sample: share of the requests it sees.
            reason: recorded in the model's events.

        Raises:
            Conflict: the version is not READY, or takes traffic.
        """
        body = {"version": version, "sample": sample, **given(reason=reason)}
        call = Call.once("POST", path("/models/{}/shadow", model), body=body)
        return self._transport.fetch(ShadowAnswer, call)

    def get_shadow(self, model: str) -> ShadowAnswer:
        """Which version sees the traffic and never answers."""
        call = Call.of("GET", path("/models/{}/shadow", model))
        return self._transport.fetch(ShadowAnswer, call)

    def end_shadow(self, model: str) -> ShadowAnswer:
        """Show the traffic to no version any more.

        Raises:
            Conflict: there is no shadow.
        """
        call = Call.once("DELETE", path("/models/{}/shadow", model))
        return self._transport.fetch(ShadowAnswer, call)

    def guard(
        self,
        model: str,
        rules: Sequence[Mapping[str, Any]],
        *,
        action: Literal["rollback", "end_split", "announce"] = "rollback",
        reason: str | None = None,
    ) -> GuardAnswer:
        """Set the bounds that every version with traffic must keep, and what happens when one does not.

        Args:
            model: the model.
            rules: such as ``{"metric": "error_rate", "max": 0.05}``; exactly one of ``max``, ``min`` and
                ``worse_than_baseline``, and optionally ``windows`` and ``window``.
            action: see the documentation of guards.
            reason: recorded in the model's events.
        """
        body = {"rules": [dict(rule) for rule in rules], "action": action, **given(reason=reason)}
        call = Call.once("PUT", path("/models/{}/guard", model), body=body)
        return self._transport.fetch(GuardAnswer, call)

    def get_guard(self, model: str) -> GuardAnswer:
        """The bounds, what was found of them last, and what the guard did last."""
        call = Call.of("GET", path("/models/{}/guard", model))
        return self._transport.fetch(GuardAnswer, call)

    def remove_guard(self, model: str) -> GuardAnswer:
        """Remove the bounds; a ramp then takes its steps by time alone.

        Raises:
            Conflict: there is no guard.
        """
        call = Call.once("DELETE", path("/models/{}/guard", model))
        return self._transport.fetch(GuardAnswer, call)
