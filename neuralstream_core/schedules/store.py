"""Schedules in the one table.

Item of schedule ``name`` (``PK=SCHEDULE#{ns}#{name}``, ``SK=SCHEDULE``, listed under
``GSI1PK=SCHEDULES#{ns}``): the fields of a `ScheduleRecord`, with ``job`` as JSON text. ``revision`` is
raised by every change, and every change is conditional on the revision it was made from.

Each change also writes ``outbox``: the table's stream brings it to `DispatchFunction`, which writes the
schedule to EventBridge Scheduler (`neuralstream_core.schedules.reconciler`), notes the outcome and removes
the attribute. A deleted schedule leaves its key and revision for a week, outside the listing, so that no
revision is used twice while the stream may still hold records of it.
"""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from neuralstream_core.errors import ConditionFailed, Conflict, Forbidden, NotFound
from neuralstream_core.schedules.records import ScheduleRecord, ScheduleSpec
from neuralstream_core.table import Item, Table
from neuralstream_core.time import Clock, iso, to_micros

__all__ = ["OUTBOX_KIND", "SchedulePage", "Schedules", "State"]

OUTBOX_KIND: Final = "schedule_changed"
_SORT: Final = "SCHEDULE"
_KEEP_DELETED_SECONDS: Final = 7 * 86400
_MINUTE: Final = 60_000_000
_MAX_REFUSAL: Final = 1000


class State(NamedTuple):
    """What the table says of a name: its revision, and the schedule unless there is none."""

    revision: int
    schedule: ScheduleRecord | None


class SchedulePage(NamedTuple):
    """One page of schedules, by name."""

    schedules: list[ScheduleRecord]
    next_token: str | None


class Schedules:
    """Schedules of one namespace.

    Raises (every method):
        Unavailable: the table cannot be reached.
    """

    def __init__(self, table: Table, namespace: str, clock: Clock) -> None:
        self._table, self.namespace, self._clock = table, namespace, clock

    def put(
        self, name: str, spec: ScheduleSpec, principal: str, *, any_owner: bool = False
    ) -> tuple[ScheduleRecord, bool]:
        """Create the schedule or replace it with ``spec``, which the caller has checked.

        Args:
            any_owner: whether ``principal`` may change schedules that somebody else created.

        Returns:
            The schedule, and whether it is new.

        Raises:
            Conflict: ``expected_revision`` is not the present one, or another change came between.
            Forbidden: somebody else created it.
        """
        state = self.state(name)
        old = state.schedule
        _may_change(old, principal, any_owner)
        present = 0 if old is None else old.revision
        if spec.expected_revision not in (None, present):
            raise Conflict(f"schedule {name} is at revision {present}", code="schedule_changed")
        micros = self._clock()
        now = iso(micros)
        kept = old is not None and (old.expression, old.enabled) == (spec.expression, spec.enabled)
        new: Item = {
            "GSI1PK": f"SCHEDULES#{self.namespace}",
            "GSI1SK": name,
            "name": name,
            "job": json.dumps(spec.job()),
            "expression": spec.expression,
            "timezone": spec.timezone,
            "enabled": spec.enabled,
            "description": spec.description,
            "anchor": old.anchor if old is not None and kept else micros // _MINUTE * _MINUTE,
            "created_at": now if old is None else iso(to_micros(old.created_at)),
            "created_by": principal if old is None else old.created_by,
            "updated_at": now,
            "updated_by": principal,
            "applied": 0,
        }
        return _record(self._replace(name, new, state.revision)), old is None

    def get(self, name: str) -> ScheduleRecord:
        """One schedule.

        Raises:
            NotFound: no such schedule.
        """
        schedule = self.state(name).schedule
        if schedule is None:
            raise _no_schedule(name)
        return schedule

    def state(self, name: str) -> State:
        """What the table says of ``name`` now."""
        item = self._table.get(*self._key(name))
        if item is None:
            return State(0, None)
        return State(item["revision"], None if "deleted_at" in item else _record(item))

    def list(self, *, limit: int = 50, token: str | None = None) -> SchedulePage:
        """A page of schedules in the order of their names."""
        page = self._table.query(
            f"SCHEDULES#{self.namespace}", index=True, limit=limit, token=token
        )
        return SchedulePage([_record(item) for item in page], page.next_token)

    def delete(self, name: str, principal: str, *, any_owner: bool = False) -> None:
        """Delete the schedule; it starts nothing from now on.

        Raises:
            NotFound: no such schedule.
            Conflict: another change came between.
            Forbidden: somebody else created it.
        """
        state = self.state(name)
        if state.schedule is None:
            raise _no_schedule(name)
        _may_change(state.schedule, principal, any_owner)
        gone: Item = {
            "deleted_by": principal,
            "deleted_at": iso(self._clock()),
            "expires_at": self._clock() // 1_000_000 + _KEEP_DELETED_SECONDS,
        }
        self._replace(name, gone, state.revision)

    def settled(self, name: str, revision: int, refusal: str | None = None) -> None:
        """Note that the scheduler has ``revision``, or why it refuses it; nothing when there is a newer one,
        which has a record of its own in the stream."""
        try:
            self._table.update(
                *self._key(name),
                "SET applied = :applied, refusal = :refusal REMOVE outbox",
                values={
                    ":applied": 0 if refusal else revision,
                    ":refusal": None if refusal is None else refusal[:_MAX_REFUSAL],
                    ":revision": revision,
                },
                condition="revision = :revision",
            )
        except ConditionFailed:
            return

    def _replace(self, name: str, fields: Item, revision: int) -> Item:
        """Put an item of the next revision, if ``revision`` is still the present one (0: none)."""
        pk, sk = self._key(name)
        outbox = {"kind": OUTBOX_KIND, "schedule": name}
        item: Item = {"PK": pk, "SK": sk, "revision": revision + 1, "outbox": outbox, **fields}
        condition = "revision = :revision" if revision else "attribute_not_exists(PK)"
        values = {":revision": revision} if revision else {}
        try:
            self._table.put(item, condition=condition, values=values)
        except ConditionFailed:
            raise Conflict(
                f"schedule {name} was changed by another request; read it and decide again",
                code="schedule_changed",
            ) from None
        return item

    def _key(self, name: str) -> tuple[str, str]:
        return f"SCHEDULE#{self.namespace}#{name}", _SORT


def _record(item: Item) -> ScheduleRecord:
    return ScheduleRecord.model_validate({**item, "job": json.loads(item["job"])})


def _may_change(schedule: ScheduleRecord | None, principal: str, any_owner: bool) -> None:
    if schedule is not None and schedule.created_by != principal and not any_owner:
        raise Forbidden(
            "another principal's schedule; changing it needs the scope models:write",
            code="not_owner",
        )


def _no_schedule(name: str) -> NotFound:
    return NotFound(f"no schedule {name}", code="schedule_not_found")
