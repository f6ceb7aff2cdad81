"""What is derived from one revision of a view, built once per revision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final, cast

from neuralstream_core.features._layout import Layout, Selection
from neuralstream_core.features._packing import Decoder, Encoder
from neuralstream_core.features.entity import entity_bytes
from neuralstream_core.features.rows import Entity
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.time import Micros
from neuralstream_core.types import MAX_ENTITY_ID

if TYPE_CHECKING:
    from neuralstream_core.features._columns import ColumnEncoder

__all__ = ["LEAST_LIFE_MS", "Codec", "kept_ms"]

LEAST_LIFE_MS: Final = 3_600_000
_MAX_DECODERS: Final = 256
_SEPARATOR: Final = "\0"


def kept_ms(ttl_seconds: int) -> int:
    """How long after its event time a row is kept, in milliseconds."""
    return 2000 * ttl_seconds + LEAST_LIFE_MS


class Codec:
    """Keys, packing and unpacking of one view's rows."""

    def __init__(self, view: FeatureView, namespace: str, retention_ms: int) -> None:
        self.view = view
        self.layout = Layout(view)
        self.prefix = f"{namespace}:f:{view.generation}:".encode()
        self._retention_ms = retention_ms
        self._single = len(view.keys) == 1
        self.decoder = lru_cache(_MAX_DECODERS)(self._decoder)

    @cached_property
    def encoder(self) -> Encoder:
        return Encoder(self.view, self.layout, self.prefix)

    @cached_property
    def column_encoder(self) -> ColumnEncoder:
        from neuralstream_core.features._columns import ColumnEncoder

        return ColumnEncoder(self.view, self.layout, self.prefix)

    def _decoder(self, features: tuple[str, ...] | None) -> Decoder:
        """The reader of ``features`` (all when ``None``).

        Raises:
            Invalid: an unknown feature.
        """
        every = list(range(self.layout.cells))
        positions = every if features is None else self.view.positions(features)
        return Decoder(Selection(self.view, self.layout, positions))

    def key(self, entity: Entity) -> bytes:
        """The Redis key of one entity's row.

        Raises:
            Invalid: the entity does not fit the view.
        """
        if self._single and type(entity) is str and 0 < len(entity) <= MAX_ENTITY_ID:
            try:
                return self.prefix + entity.encode()
            except UnicodeEncodeError:
                pass  # entity_bytes says what is wrong
        return self.prefix + entity_bytes(self.view.keys, entity)

    def keys(self, entities: Sequence[Entity]) -> list[bytes]:
        """The keys of many entities, which may hold ids that no row can have: `check` the missing ones.

        Raises:
            Invalid: an entity is not of the view's form.
        """
        if self._single:
            separated = _SEPARATOR + self.prefix.decode()
            try:
                joined = separated.join(["", *cast("Sequence[str]", entities)]).encode()
            except (TypeError, UnicodeEncodeError):
                joined = b""  # `key` says what is wrong
            keys = joined.split(_SEPARATOR.encode())[1:]
            if len(keys) == len(entities):  # no id holds a separator
                return keys
        return [self.key(entity) for entity in entities]

    def check(self, entities: Sequence[Entity], rows: Sequence[bytes | None]) -> None:
        """Refuse an entity that has no row because it can have none.

        Raises:
            Invalid: an empty or overlong id.
        """
        for entity, row in zip(entities, rows, strict=True):
            if row is None:
                self.key(entity)

    def expiry(self, now: Micros) -> Callable[[Micros], int]:
        """From a row's event time to the life of its key, in milliseconds from ``now``.

        With a TTL: twice the TTL and an hour after the event, so that a cell is reported EXPIRED for a
        good while before its row is gone, and never less than an hour. Without: the retention.
        """
        ttl = self.view.ttl_seconds
        if ttl is None:
            retention = self._retention_ms
            return lambda _time: retention
        keep = kept_ms(ttl)
        return lambda time: max(LEAST_LIFE_MS, keep + (time - now) // 1000)
