"""What was done to a view's rows that somebody may have to account for.

Items ``PK=VIEW#{ns}#{name}``, ``SK=EVENT#{at:020d}#{random}`` of the registry table. They outlive the view.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence

from pydantic import AwareDatetime

from neuralstream_core.features.catalog import view_key
from neuralstream_core.table import Item, Table
from neuralstream_core.time import Clock, iso
from neuralstream_core.types import Record

__all__ = ["ForgottenEvent", "ViewAudit"]


class ForgottenEvent(Record):
    """An entity was forgotten.

    Attributes:
        entity: SHA-256 of `entity_bytes`, in hexadecimal: who asks about an entity can check it, and the
            trail itself forgets it too.
        found: whether it had a row online.
    """

    kind: str = "forgotten"
    at: AwareDatetime
    actor: str
    entity: str
    generation: str
    found: bool


class ViewAudit:
    """The trail of one namespace."""

    def __init__(self, table: Table, namespace: str, clock: Clock) -> None:
        self._table, self._namespace, self._clock = table, namespace, clock

    def forgotten(
        self, view: str, generation: str, entity: bytes, actor: str, *, found: bool
    ) -> None:
        """Write that an entity was forgotten."""
        now = self._clock()
        item: Item = {
            "PK": view_key(self._namespace, view)[0],
            "SK": f"EVENT#{now:020d}#{secrets.token_hex(4)}",
            "kind": "forgotten",
            "at": iso(now),
            "actor": actor,
            "entity": hashlib.sha256(entity).hexdigest(),
            "generation": generation,
            "found": found,
        }
        self._table.put(item)

    def events(self, view: str) -> Sequence[ForgottenEvent]:
        """The trail of a view, the oldest first."""
        pk = view_key(self._namespace, view)[0]
        found = self._table.query_all(pk, prefix="EVENT#")
        return [ForgottenEvent.model_validate(item) for item in found]
