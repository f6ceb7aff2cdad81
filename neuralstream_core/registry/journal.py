"""How a model changes: one transaction per command, with its event in the audit trail.

A command is a pure decision on the model as it is, and one TransactWriteItems that holds

* the model, if its ``revision`` is still the one decided upon, raised by one,
* the event of that revision, so that the audit trail has every revision exactly once,
* the versions and feature views that the decision touches,
* the caller's idempotency key.

Every change of a model or of one of its versions raises the revision. The condition on it makes the commands
on one model serial: a command that lost a race decides again, on what the other one left.

A transaction whose answer was lost may or may not have happened. Each event carries its command's random
``operation``; before deciding again the journal looks whether the event of the revision it tried is its own.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from neuralstream_core.errors import Invalid
from neuralstream_core.registry.events import EventKind, EventRecord, event_item
from neuralstream_core.registry.issuer import Issuer
from neuralstream_core.registry.records import (
    META,
    ModelRecord,
    Stage,
    VersionRecord,
    event_key,
    from_item,
    model_item,
    model_key,
    version_item,
)
from neuralstream_core.table import Item, Table
from neuralstream_core.time import Clock, from_micros

__all__ = ["MAX_WRITES", "Change", "Command", "Committed", "Journal", "payload_of"]

MAX_WRITES: Final = 97
"""Versions and further writes of one change: DynamoDB takes 100, three are the journal's own."""

KEY_SECONDS: Final = 24 * 3600
"""How long an idempotency key is remembered."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a command decided.

    Attributes:
        model: the model as it shall be; the journal sets its revision and time.
        versions: versions that change, as they shall be.
        stages: the new stage of those that move; goes into the event.
        actions: further writes of the same transaction. Together with ``versions`` at most `MAX_WRITES`.
        announcement: what is told to the outside, with its ``kind``; written with the event.
    """

    model: ModelRecord
    kind: EventKind
    version: str | None = None
    versions: Sequence[VersionRecord] = ()
    stages: Mapping[str, Stage] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    actions: Sequence[dict[str, Any]] = ()
    announcement: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """One command on one model.

    Attributes:
        name: e.g. ``"promote"``; an idempotency key holds for one name, model and actor.
        payload: everything the caller asked for, as bytes: the same key with other bytes is refused.
        reason: the caller's own words for the audit trail.
    """

    model: str
    name: str
    by: Issuer
    payload: bytes = b""
    reason: str | None = None
    operation: str = field(default_factory=lambda: secrets.token_hex(16))


@dataclass(frozen=True, slots=True)
class Committed:
    """The model after a command, the event and the versions it wrote.

    Of a command that had been carried out before, under the same idempotency key or by an attempt whose
    answer was lost, ``model`` is as it is now and ``versions`` is empty.
    """

    model: ModelRecord
    event: EventRecord
    versions: Sequence[VersionRecord] = ()


Decide: TypeAlias = Callable[[ModelRecord | None], Change]


class Journal:
    """Writes every change of a model."""

    def __init__(self, table: Table, namespace: str, clock: Clock) -> None:
        self._table, self._namespace, self._clock = table, namespace, clock

    def commit(self, command: Command, decide: Decide) -> Committed:
        """Carry out one command.

        Args:
            decide: given the model as it is (``None`` if unknown), what shall change. It may read, must
                not write, and is called again when the model changed meanwhile. What it raises ends
                the command.

        Raises:
            Unavailable: the table failed for `OUTAGE_SECONDS`, or others kept winning until the caller's
                time was up.
            Invalid: the idempotency key was used for another request.
        """
        tried: set[int] = set()
        return command.by.retry(
            lambda: (
                self._own(command, tried)
                or self._replay(command)
                or self._attempt(command, decide, tried)
            )
        )

    def earlier(self, command: Command) -> Committed | None:
        """What this command did when it was sent before with the same idempotency key, if it was.

        Raises:
            Invalid: the key was used for another request.
        """
        return command.by.retry(lambda: self._replay(command))

    def _replay(self, command: Command) -> Committed | None:
        if command.by.key is None:
            return None
        item = self._table.get(model_key(self._namespace, command.model), _key_of(command))
        if item is None or item["expires_at"] * 1_000_000 <= self._clock():
            return None
        if item["fingerprint"] != hashlib.sha256(command.payload).hexdigest():
            raise Invalid.at(
                "header.idempotency-key",
                "was used for a different request",
                code="idempotency_key_reused",
            )
        return self._recall(command.model, item["revision"])

    def _attempt(self, command: Command, decide: Decide, tried: set[int]) -> Committed:
        pk = model_key(self._namespace, command.model)
        found = self._table.get(pk, META)
        before = None if found is None else from_item(ModelRecord, found)
        change = decide(before)
        now = self._clock()
        revision = 1 if before is None else before.revision + 1
        settled: dict[str, Any] = {"revision": revision, "updated_at": from_micros(now)}
        if before is None or _serving(before) != _serving(change.model):
            settled["serving_since"] = from_micros(now)
        after = change.model.model_copy(update=settled)
        event = EventRecord(
            revision=revision,
            kind=change.kind,
            version=change.version,
            at=from_micros(now),
            actor=command.by.actor,
            reason=command.reason,
            stages=dict(change.stages),
            production_version=after.production_version,
            ab_split=after.ab_split,
            data=dict(change.data),
        )
        actions = [
            self._table.put_action(
                model_item(self._namespace, after),
                condition="attribute_not_exists(PK)" if before is None else "revision = :before",
                values={} if before is None else {":before": before.revision},
            ),
            self._table.put_action(
                event_item(
                    self._namespace,
                    command.model,
                    event,
                    command.operation,
                    change.announcement,
                ),
                condition="attribute_not_exists(PK)",
            ),
            # Versions are put whole: whatever changed one since it was read has raised the revision.
            *(self._table.put_action(version_item(self._namespace, v)) for v in change.versions),
            *change.actions,
        ]
        if command.by.key is not None:
            actions.append(self._remember(command, revision, now))
        tried.add(revision)
        self._table.transact(actions)
        return Committed(after, event, change.versions)

    def _own(self, command: Command, tried: set[int]) -> Committed | None:
        """The outcome of an earlier attempt that failed to report its success."""
        pk = model_key(self._namespace, command.model)
        for revision in sorted(tried):
            item = self._table.get(pk, event_key(revision))
            if item is None:
                continue  # the attempt may still be under way
            if item["operation"] == command.operation:
                return self._recall(command.model, revision)
            tried.discard(revision)
        return None

    def _recall(self, model: str, revision: int) -> Committed:
        pk = model_key(self._namespace, model)
        items = {
            item["SK"]: item
            for item in self._table.get_many([(pk, META), (pk, event_key(revision))])
        }
        event = from_item(EventRecord, items[event_key(revision)])
        return Committed(from_item(ModelRecord, items[META]), event)

    def _remember(self, command: Command, revision: int, now: int) -> dict[str, Any]:
        seconds = now // 1_000_000
        item: Item = {
            "PK": model_key(self._namespace, command.model),
            "SK": _key_of(command),
            "fingerprint": hashlib.sha256(command.payload).hexdigest(),
            "revision": revision,
            "expires_at": seconds + KEY_SECONDS,
        }
        return self._table.put_action(
            item,
            condition="attribute_not_exists(PK) OR expires_at <= :now",
            values={":now": seconds},
        )


def payload_of(*parts: Any) -> bytes:
    """What a caller asked for, as the bytes that a `Command` takes."""
    return json.dumps(parts, sort_keys=True).encode()


def _serving(model: ModelRecord) -> tuple[str | None, frozenset[str]]:
    return model.production_version, frozenset(model.ab_split or ())


def _key_of(command: Command) -> str:
    parts = (command.by.actor, command.name, command.by.key or "")
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return f"KEY#{hashlib.sha256(text.encode()).hexdigest()}"
