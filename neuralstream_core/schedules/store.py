"""Schedules in the one table.

Item of schedule ``name`` (``PK=SCHEDULE#{ns}#{name}``, ``SK=SCHEDULE``, listed under
``GSI1PK=SCHEDULES#{ns}``): the fields of a `ScheduleRecord`, with ``job`` as JSON text. ``revision`` is
raised by every change, and every change is conditional on the revision it was made from.

Each change also writes ``outbox``: the table's stream brings it to `DispatchFunction`, which makes
EventBridge Scheduler what the table says (`neuralstream_core.schedules.reconciler`), notes how that went and
removes the attribute. A deleted schedule leaves its key and revision for a week, outside the listing, so that
no revision is ever used twice while records about it may still be on their way.
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

    Args:
        table: the registry table.
        namespace: see `neuralstream_core.settings.BaseSettings.namespace`.
        clock: microseconds since the epoch.

    Raises (every method):
        Unavailable: the table cannot be reached.
    """

    def __init__(self, table: Table, namespace: str, clock: Clock) -> None:
        self._table, self.namespace, self._clock = table, namespace, clock

    def put(
        self, name: str, spec: ScheduleSpec, principal: str, *, any_owner: bool = False
    ) -> tuple[ScheduleRecord, bool]:
        """Create the schedule or replace it. A checked ``spec`` is the caller's part.

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
            **dict(zip(("PK", "SK"), self._key(name), strict=True)),
            "GSI1PK": f"SCHEDULES#{self.namespace}",
            "GSI1SK": name,
            "name": name,
            "revision": state.revision + 1,
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
            "outbox": {"kind": OUTBOX_KIND, "schedule": name},
        }
        self._replace(name, new, state.revision)
        return _record(new), old is None

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
        return _state(self._table.get(*self._key(name)))

    def list(self, *, limit: int = 50, token: str | None = None) -> SchedulePage:
        """A page of schedules in the order of their names."""
        page = self._table.query(
            f"SCHEDULES#{self.namespace}", index=True, limit=limit, token=token
        )
        return SchedulePage([_record(item) for item in page], page.next_token)

    def delete(self, name: str, principal: str, *, any_owner: bool = False) -> None:
        """End the schedule; nothing it would start after this is started.

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
            **dict(zip(("PK", "SK"), self._key(name), strict=True)),
            "revision": state.revision + 1,
            "deleted_by": principal,
            "deleted_at": iso(self._clock()),
            "expires_at": self._clock() // 1_000_000 + _KEEP_DELETED_SECONDS,
            "outbox": {"kind": OUTBOX_KIND, "schedule": name},
        }
        self._replace(name, gone, state.revision)

    def settled(self, name: str, revision: int, refusal: str | None = None) -> None:
        """Note that the scheduler is what ``revision`` says, or why it cannot be. A newer revision has a
        record of its own in the stream, so then nothing is noted."""
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

    def _replace(self, name: str, item: Item, revision: int) -> None:
        try:
            if revision:
                self._table.put(
                    item, condition="revision = :revision", values={":revision": revision}
                )
            else:
                self._table.put(item, condition="attribute_not_exists(PK)")
        except ConditionFailed:
            raise Conflict(
                f"schedule {name} was changed by another request; read it and decide again",
                code="schedule_changed",
            ) from None

    def _key(self, name: str) -> tuple[str, str]:
        return f"SCHEDULE#{self.namespace}#{name}", _SORT


def _state(item: Item | None) -> State:
    if item is None:
        return State(0, None)
    return State(item["revision"], None if "deleted_at" in item else _record(item))


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
