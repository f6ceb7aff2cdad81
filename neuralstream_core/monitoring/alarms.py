"""The alarm of each version: what scheduled evaluation has concluded, with hysteresis.

Owned items, ``PK = DRIFT#{namespace}#{model}``, ``SK = VERSION#{version}``: a `State`. A change of status is
written together with an ``outbox`` attribute, which the table's stream brings to the announce function.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pydantic import AwareDatetime

from neuralstream_core.errors import ConditionFailed
from neuralstream_core.monitoring.decision import DriftStatus
from neuralstream_core.time import Micros, from_micros, iso
from neuralstream_core.types import Record

if TYPE_CHECKING:
    from neuralstream_core.table import Item, Table

__all__ = ["Alarm", "Alarms", "State", "alarm_key", "next_status"]

_WINDOWS: Final = 3
_PREFIX: Final = "VERSION#"


def alarm_key(namespace: str, model: str) -> str:
    """Partition key of a model's alarms."""
    return f"DRIFT#{namespace}#{model}"


class Alarm(Record):
    """What scheduled evaluation holds of the version, with hysteresis."""

    status: DriftStatus
    since: AwareDatetime
    evaluated: AwareDatetime | None = None


class State(Record):
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
    agreed = DriftStatus.OK
    if len(recent) > 1:
        agreed = sorted(recent, key=lambda status: status.rank)[-2]
    lately = recent[-2:]
    if not state.status.alarming or agreed.rank > state.status.rank:
        return agreed, recent
    if len(lately) == 2 and not any(status.alarming for status in lately):
        return DriftStatus.OK, recent
    if lately == (DriftStatus.WARNING, DriftStatus.WARNING):
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

    def get(self, model: str, version: str) -> Alarm | None:
        """The alarm of a version that was evaluated."""
        item = self._table.get(alarm_key(self._namespace, model), _PREFIX + version)
        if item is None:
            return None
        state = State.model_validate(item)
        return Alarm(
            status=state.status,
            since=from_micros(state.since),
            evaluated=from_micros(state.until) if state.until else None,
        )

    def states(self, model: str) -> Mapping[str, State]:
        """All that is known of a model, by version."""
        items = self._table.query_all(alarm_key(self._namespace, model), prefix=_PREFIX)
        return {item["SK"].removeprefix(_PREFIX): State.model_validate(item) for item in items}

    def meter(self, model: str, version: str, state: State, until: Micros) -> State | None:
        """Claim the hours up to ``until`` for metrics; ``None`` when another run has them."""
        try:
            self._table.update(
                alarm_key(self._namespace, model),
                _PREFIX + version,
                "SET metered = :until REMOVE outbox",
                condition="attribute_not_exists(metered) OR metered = :before",
                values={":until": until, ":before": state.metered},
            )
        except ConditionFailed:
            return None
        return state.model_copy(update={"metered": until})

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
        after = State(
            status=status,
            since=now if changed or not state.since else state.since,
            recent=recent,
            until=until,
            sequence=state.sequence + changed,
            metered=state.metered,
        )
        item: Item = {
            "PK": alarm_key(self._namespace, model),
            "SK": _PREFIX + version,
            **after.model_dump(mode="json"),
        }
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
