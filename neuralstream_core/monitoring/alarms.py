"""The alarm of each version: what scheduled evaluation has concluded, with hysteresis.

Owned items, ``PK = DRIFT#{namespace}#{model}``, ``SK = VERSION#{version}``: the present status, since
when, the statuses of the last windows, and until when windows have been evaluated. A change of status is
written together with an ``outbox`` attribute, which the dispatcher turns into an event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from pydantic import AwareDatetime, Field

from neuralstream_core.errors import ConditionFailed
from neuralstream_core.monitoring.decision import DriftStatus
from neuralstream_core.time import from_micros, iso
from neuralstream_core.types import Record

if TYPE_CHECKING:
    from neuralstream_core.table import Item, Table
    from neuralstream_core.time import Micros

__all__ = ["Alarm", "Alarms", "State", "alarm_key", "next_status"]

_WINDOWS: Final = 3


def alarm_key(namespace: str, model: str) -> str:
    """Partition key of a model's alarms."""
    return f"DRIFT#{namespace}#{model}"


class Alarm(Record):
    """What scheduled evaluation holds of the version, with hysteresis."""

    status: DriftStatus = Field(description="as it was announced last")
    since: AwareDatetime = Field(description="when it came to be so, UTC")
    evaluated: AwareDatetime | None = Field(
        default=None, description="end of the last window that was evaluated, UTC"
    )


@dataclass(frozen=True, slots=True)
class State:
    """What is known of one version's drift.

    Attributes:
        status: the alarm as announced.
        since: when it came to be.
        recent: statuses of the last windows, the latest last.
        until: end of the last window evaluated.
        sequence: how many changes there have been; part of an event's identity.
        metered: end of the last hour whose traffic was handed to CloudWatch.
    """

    status: DriftStatus = DriftStatus.OK
    since: Micros = 0
    recent: tuple[DriftStatus, ...] = ()
    until: Micros = 0
    sequence: int = 0
    metered: Micros = 0


def next_status(state: State, observed: DriftStatus) -> tuple[DriftStatus, tuple[DriftStatus, ...]]:
    """The alarm after one more window.

    Opens when two of the last three windows are alarming, with the worst they agree on; clears after
    two windows in a row without. A window that could not be judged changes nothing.

    Returns:
        the status and the statuses of the last windows.
    """
    if observed in (DriftStatus.INSUFFICIENT_DATA, DriftStatus.NO_REFERENCE):
        return state.status, state.recent
    recent = (*state.recent, observed)[-_WINDOWS:]
    ranks = sorted((status.rank for status in recent), reverse=True)
    agreed = (
        next(s for s in DriftStatus if s.rank == ranks[1]) if len(ranks) > 1 else DriftStatus.OK
    )
    if not state.status.alarming:
        return (agreed if agreed.alarming else DriftStatus.OK), recent
    if len(recent) > 1 and not recent[-1].alarming and not recent[-2].alarming:
        return DriftStatus.OK, recent
    if agreed.alarming and agreed.rank > state.status.rank:
        return agreed, recent
    lately = recent[-2:]
    if len(lately) == 2 and all(s is DriftStatus.WARNING for s in lately):
        return DriftStatus.WARNING, recent
    return state.status, recent


class Alarms:
    """The stored alarms of a namespace.

    Raises (every method):
        Unavailable: the table cannot be reached.
    """

    def __init__(self, table: Table, namespace: str) -> None:
        self._table = table
        self._namespace = namespace

    def get(self, model: str) -> Mapping[str, Alarm]:
        """Alarms of a model, by version."""
        return {version: _alarm(state) for version, state in self.states(model).items()}

    def states(self, model: str) -> Mapping[str, State]:
        """All that is known of a model, by version."""
        items = self._table.query_all(alarm_key(self._namespace, model), prefix="VERSION#")
        return {item["SK"].removeprefix("VERSION#"): _read(item) for item in items}

    def meter(self, model: str, version: str, state: State, until: Micros) -> State | None:
        """Claim the hours up to ``until`` for metrics; ``None`` when another run has them."""
        pk, sk = alarm_key(self._namespace, model), f"VERSION#{version}"
        try:
            self._table.update(
                pk,
                sk,
                "SET metered = :until REMOVE outbox",
                condition="attribute_not_exists(metered) OR metered = :before",
                values={":until": until, ":before": state.metered},
            )
        except ConditionFailed:
            return None
        return replace(state, metered=until)

    def advance(
        self,
        model: str,
        version: str,
        state: State,
        observed: DriftStatus,
        until: Micros,
        now: Micros,
        details: Mapping[str, Any],
    ) -> State | None:
        """Take one more window into account and store the result.

        Args:
            details: goes into the event if the status changes.

        Returns:
            the new state; ``None`` when another evaluation was there first.
        """
        status, recent = next_status(state, observed)
        changed = status is not state.status
        after = replace(
            state,
            status=status,
            since=now if changed or not state.since else state.since,
            recent=recent,
            until=until,
            sequence=state.sequence + changed,
        )
        item = _item(self._namespace, model, version, after)
        if changed:
            item["outbox"] = {
                "kind": "drift_changed",
                "id": f"{self._namespace}:{model}:{version}:{after.sequence}",
                "namespace": self._namespace,
                "model": model,
                "version": version,
                "status": str(status),
                "previous": str(state.status),
                "at": iso(now),
                **details,
            }
        try:
            self._table.put(
                item,
                condition="attribute_not_exists(#until) OR #until = :before",
                names={"#until": "until"},
                values={":before": state.until},
            )
        except ConditionFailed:
            return None
        return after


def _item(namespace: str, model: str, version: str, state: State) -> Item:
    return {
        "PK": alarm_key(namespace, model),
        "SK": f"VERSION#{version}",
        "status": str(state.status),
        "since": state.since,
        "recent": [str(status) for status in state.recent],
        "until": state.until,
        "sequence": state.sequence,
        "metered": state.metered,
    }


def _read(item: Item) -> State:
    recent: Sequence[str] = item.get("recent", ())
    return State(
        status=DriftStatus(item.get("status", DriftStatus.OK)),
        since=int(item.get("since", 0)),
        recent=tuple(DriftStatus(name) for name in recent),
        until=int(item.get("until", 0)),
        sequence=int(item.get("sequence", 0)),
        metered=int(item.get("metered", 0)),
    )


def _alarm(state: State) -> Alarm:
    return Alarm(
        status=state.status,
        since=from_micros(state.since),
        evaluated=from_micros(state.until) if state.until else None,
    )
