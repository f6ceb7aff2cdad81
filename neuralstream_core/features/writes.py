"""Rows on their way into the store: as a caller gave them, packed, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from neuralstream_core.errors import Invalid, Unavailable
from neuralstream_core.features._layout import ROW_TOO_LARGE
from neuralstream_core.features._merge import ALL_STALE, TOO_LARGE
from neuralstream_core.features._packing import PackedRows
from neuralstream_core.features.rows import WriteResult
from neuralstream_core.redis.port import FLIGHT, ReplyError

if TYPE_CHECKING:
    from neuralstream_core.features._codec import Codec
    from neuralstream_core.features.rows import Entity
    from neuralstream_core.features.schema import FeatureView
    from neuralstream_core.redis.port import Call, Reply
    from neuralstream_core.time import Micros

__all__ = [
    "ALL_STALE",
    "FORGOTTEN",
    "TOO_LARGE",
    "Batch",
    "Given",
    "GivenColumns",
    "GivenForgotten",
    "GivenPacked",
    "GivenRows",
    "Recorded",
    "WriteLog",
    "asks_for",
    "count_of",
    "flight_of",
    "result_of",
    "tombstone",
]


FORGOTTEN: Final = b""
"""Stands for a row in a log where an entity was forgotten: all of its earlier rows are to be removed."""
_CELLS_A_FLIGHT: Final = 40_000
"""Cells one flight of writes may merge: about 50 ms of a server's time at worst."""


class Given(Protocol):
    """Rows of one view in one of the forms that a caller may choose."""

    def pack(self, codec: Codec, now: Micros) -> PackedRows:
        """All rows packed; those without an event time are of ``now``.

        Raises:
            Invalid: names every wrong place.
        """

    def place(self, row: int) -> str:
        """Where the values of a row stand in what the caller gave."""


class GivenRows(NamedTuple):
    """One mapping per row.

    Attributes:
        rows: each as `neuralstream_core.features.WriteRow`.
        where: prefix of each place, formatted with the row's number.
    """

    rows: Sequence[Mapping[str, Any]]
    where: str = "rows.{}."

    def pack(self, codec: Codec, now: Micros) -> PackedRows:
        return codec.encoder.encode(self.rows, now, where=self.where)

    def place(self, row: int) -> str:
        return f"{self.where.format(row)}features"


class GivenColumns(NamedTuple):
    """One list per feature.

    Attributes:
        entity_ids: of ``n`` rows; or all as their `entity_bytes`.
        columns: ``n`` values by feature, a list or a numpy array each; ``None`` sets NULL, and so does what a
            masked array masks.
        event_timestamp: one for all rows, a list of ``n``, or an int64 array of ``n`` in microseconds; now
            where ``None``.
    """

    entity_ids: Sequence[Any]
    columns: Mapping[str, Any]
    event_timestamp: Any = None

    def pack(self, codec: Codec, now: Micros) -> PackedRows:
        return codec.column_encoder.encode(self.entity_ids, self.columns, self.event_timestamp, now)

    def place(self, row: int) -> str:
        return f"entity_ids.{row}"


class GivenForgotten(NamedTuple):
    """Entities to forget, in place of rows; not to be committed.

    Attributes:
        entities: of a view.
    """

    entities: Callable[[FeatureView], Sequence[Entity]]

    def pack(self, codec: Codec, now: Micros) -> PackedRows:
        """Raises:
        Invalid: an entity that can have no row.
        """
        keys = [codec.key(entity) for entity in self.entities(codec.view)]
        n = len(keys)
        return PackedRows(keys, [now] * n, [FORGOTTEN] * n, [0] * n)

    def place(self, row: int) -> str:
        return f"entity_ids.{row}"


class GivenPacked(NamedTuple):
    """Entities that stand for their rows' keys; not to be committed.

    Attributes:
        entities: `entity_bytes` of each.
        rows: of each, as a log has it.
    """

    entities: Sequence[bytes]
    rows: Sequence[bytes]

    def pack(self, codec: Codec, now: Micros) -> PackedRows:
        keys = [codec.prefix + entity for entity in self.entities]
        return PackedRows(keys, [now] * len(keys), list(self.rows), [0] * len(keys))

    def place(self, row: int) -> str:
        return f"entity_ids.{row}"


class Batch(NamedTuple):
    """Rows of one view, checked and packed, nothing sent yet.

    Attributes:
        request_id: of the request or message that brought them; with a row's position it identifies the row.
        now: event time of rows that were given none.
    """

    codec: Codec
    packed: PackedRows
    given: Given
    request_id: str
    now: Micros

    @property
    def entities(self) -> list[bytes]:
        """`entity_bytes` of each row."""
        start = len(self.codec.prefix)
        return [key[start:] for key in self.packed.keys]

    def without(self, refused: Sequence[int]) -> Batch:
        """This batch with no cell in the rows ``refused``, which keep their places."""
        if not refused:
            return self
        rows = list(self.packed.rows)
        for i in refused:
            rows[i] = self.codec.layout.empty(self.packed.times[i])
        return self._replace(packed=self.packed._replace(rows=rows))

    def calls(self, now: Micros) -> Iterable[Call]:
        """The calls of the merge script that write the rows."""
        keys, times, rows, _ = self.packed
        expiry = self.codec.expiry(now)
        lives = {time: b"%d" % expiry(time) for time in set(times)}
        return zip(keys, rows, map(lives.__getitem__, times), repeat(self.codec.layout.widths))

    def only(self, places: Sequence[int]) -> Batch:
        """The rows at ``places``, in that order; the form in which they were given stays whole."""
        if list(places) == list(range(len(self.packed.keys))):
            return self
        packed = self.packed
        return self._replace(
            packed=packed._replace(
                keys=[packed.keys[at] for at in places],
                times=[packed.times[at] for at in places],
                rows=[packed.rows[at] for at in places],
                cells=[packed.cells[at] for at in places],
            )
        )

    def extended(self, others: Sequence[Batch]) -> Batch:
        """This batch and behind it the rows of ``others``, which have the same codec."""
        packed = [batch.packed for batch in (self, *others)]
        return self._replace(
            packed=self.packed._replace(
                keys=[key for each in packed for key in each.keys],
                times=[time for each in packed for time in each.times],
                rows=[row for each in packed for row in each.rows],
                cells=[count for each in packed for count in each.cells],
            )
        )


class Recorded(Protocol):
    """What a `WriteLog` recorded at once."""

    def replace(self, batches: Sequence[Batch]) -> None:
        """Keep these rows in its place.

        Raises:
            Unavailable: the ones or the others are kept.
        """


class WriteLog(Protocol):
    """Keeps what is written."""

    def record(self, batches: Sequence[Batch]) -> Recorded:
        """Keep all rows of ``batches``; they are durable when this returns.

        Raises:
            Unavailable: they are not, or not known to be.
        """


def tombstone(namespace: str, generation: str) -> bytes:
    """The key that exists where a generation of a view was deleted."""
    return f"{namespace}:g:{generation}".encode()


def asks_for(namespace: str, generation: str) -> Call:
    """The call of the merge script that answers whether a generation was deleted."""
    return tombstone(namespace, generation), b"", b"", b""


def flight_of(batches: Sequence[Batch]) -> int:
    """How many calls of the merge script may be sent to a server at once."""
    most = _CELLS_A_FLIGHT // max(batch.codec.layout.cells for batch in batches)
    return max(1, min(most, FLIGHT))


def count_of(reply: Reply) -> int:
    """The number that Redis answered.

    Raises:
        Unavailable: it refused the command.
    """
    if isinstance(reply, int):
        return reply
    code = reply.code if isinstance(reply, ReplyError) else type(reply).__name__
    raise Unavailable(f"Redis refused a command ({code})", dependency="redis")


def result_of(batch: Batch, replies: Sequence[Reply]) -> WriteResult:
    """What became of ``batch``, by the merge script's reply to each row.

    Raises:
        Invalid: a merged row would be too large; it was not stored.
        Unavailable: Redis refused a command.
    """
    written = batch.packed.cells
    cells = sum(written)
    if not any(replies):
        return WriteResult(len(written), 0, cells, 0)
    stale_rows = stale_cells = 0
    for i, (many, reply) in enumerate(zip(written, replies, strict=True)):
        count = count_of(reply)
        if count == TOO_LARGE:
            raise Invalid.at(batch.given.place(i), ROW_TOO_LARGE, code="row_too_large")
        if count == ALL_STALE:
            stale_rows += 1
            cells -= many
        else:
            stale_cells += count
    return WriteResult(len(written) - stale_rows, stale_rows, cells - stale_cells, stale_cells)
