"""The append log: every accepted row, durable before its write is acknowledged.

Items of the history table of namespace ``ns``:

=================================  ===================================================================
``PK = LOG#{ns}#{slot}#{shard}``   ``slot``: minute of the write; ``shard``: 0 to 15 at random, so that one
                                   minute's writes are spread over many partitions
``SK = {write_time:020d}#{random}``
``data``                           the entry (`Entry.pack`), or
``object``                         key of the S3 object that holds it: ``history-log/{ns}/{slot}/…``
``expires_at``                     seconds since the epoch; TTL of the table
=================================  ===================================================================

An append succeeds only if its item is durable a third of the *seal* after its write time at the latest, and
a slot is read once the seal has passed since its end. The other two thirds are for clocks that differ. So
whoever reads a sealed slot reads all of its acknowledged entries, and no slot needs to be read twice.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Final, NamedTuple

from neuralstream_core.errors import NeuralStreamError, Unavailable
from neuralstream_core.features.writes import Batch
from neuralstream_core.history.entries import Entry, Part
from neuralstream_core.objects import Location, Objects
from neuralstream_core.table import Item, Table
from neuralstream_core.time import Clock, Micros

__all__ = [
    "LOG_PREFIX",
    "MAX_ITEM",
    "SEAL",
    "SHARDS",
    "SLOT",
    "Appended",
    "HistoryLog",
    "RecordedEntry",
    "slot_of",
]

SLOT: Final[Micros] = 60 * 1_000_000
"""Length of a slot."""
SHARDS: Final = 16
"""Partitions a slot is spread over."""
SEAL: Final[Micros] = 180 * 1_000_000
"""After the end of a slot; see above."""
MAX_ITEM: Final = 300 * 1024
"""Bytes of a packed entry in an item; larger ones are S3 objects. An item may have 400 KB."""
LOG_PREFIX: Final = "history-log/"
"""Of the objects in the data bucket."""
_KEPT_SECONDS: Final = 7 * 86_400
_OBJECTS_AT_ONCE: Final = 8


def slot_of(at: Micros) -> int:
    """The slot that ``at`` falls into."""
    return at // SLOT


class Appended(NamedTuple):
    """How one append went.

    Attributes:
        milliseconds: it took.
        size: bytes of the packed entry.
        failed: it is not acknowledged.
    """

    milliseconds: float
    size: int
    failed: bool


class RecordedEntry(NamedTuple):
    """An entry of `HistoryLog.record`.

    Attributes:
        replace: puts an entry of other batches in its place, under the same conditions.
    """

    replace: Callable[[Sequence[Batch]], None]


class _Place(NamedTuple):
    """Where an entry is."""

    write_time: Micros
    partition: str
    name: str


class HistoryLog:
    """Appends entries, and reads them slot by slot.

    Args:
        table: the history table, whose errors name the dependency ``history``.
        objects: S3; called when an entry is too large for an item, or is an object.
        bucket: the data bucket.
        namespace: see `neuralstream_core.settings.BaseSettings.namespace`.
        clock: now, in microseconds.
        seal: see above; the same for all who write and read.
        observe: told of each append, in the thread that made it.

    Raises (every method):
        Unavailable: DynamoDB or S3 cannot be reached, throttles or refuses (``dependency="history"``).
    """

    def __init__(
        self,
        table: Table,
        objects: Callable[[], Objects],
        bucket: str,
        namespace: str,
        clock: Clock,
        *,
        seal: Micros = SEAL,
        observe: Callable[[Appended], None] | None = None,
    ) -> None:
        self._table = table
        self._objects = objects
        self._bucket = bucket
        self._namespace = namespace
        self._clock = clock
        self._seal = seal
        self._observe = observe

    def append(self, parts: Sequence[Part]) -> None:
        """Add one entry with ``parts``; durable when this returns. No parts: nothing is added.

        Raises:
            Unavailable: also if it took too long; the entry may be in the log all the same.
        """
        if parts:
            self._put(self._place(), parts)

    def record(self, batches: Sequence[Batch]) -> RecordedEntry:
        """Add one entry with the rows of ``batches``: what `OnlineStore` calls with each commit.

        Raises:
            Unavailable: as `append`.
        """
        place = self._place()
        self._put(place, _parts(batches))
        return RecordedEntry(lambda others: self._put(place, _parts(others)))

    def _place(self) -> _Place:
        now = self._clock()
        shard, name = secrets.randbelow(SHARDS), f"{now:020d}#{secrets.token_hex(8)}"
        return _Place(now, self._partition(slot_of(now), shard), name)

    def _put(self, place: _Place, parts: Sequence[Part]) -> None:
        began, failed = perf_counter(), True
        data = Entry(place.write_time, parts).pack()
        try:
            self._store(place, data)
            if self._clock() - place.write_time > self._seal // 3:
                raise Unavailable("the history log took too long to answer", dependency="history")
            failed = False
        finally:
            if self._observe is not None:
                self._observe(Appended((perf_counter() - began) * 1000, len(data), failed))

    def _store(self, place: _Place, data: bytes) -> None:
        item: Item = {
            "PK": place.partition,
            "SK": place.name,
            "expires_at": place.write_time // 1_000_000 + _KEPT_SECONDS,
        }
        if len(data) <= MAX_ITEM:
            item["data"] = data
        else:
            slot, name = slot_of(place.write_time), place.name.replace("#", "-")
            item["object"] = f"{LOG_PREFIX}{self._namespace}/{slot}/{name}"
            self._write(item["object"], data)
        self._table.put(item)

    def entries(self, first: int, last: int) -> Iterator[tuple[int, Entry]]:
        """Every entry of the slots ``first`` to ``last`` with its slot, slot after slot, in no particular
        order within one. Holds at most a page (1 MB) of each shard and eight objects.

        Raises:
            Unavailable: also if one entry cannot be read; none is left out.
        """
        with ThreadPoolExecutor(SHARDS) as pool:
            for slot in range(first, last + 1):
                partitions = [self._partition(slot, shard) for shard in range(SHARDS)]
                pages = pool.map(self._table.query, partitions)
                for partition, first_page in zip(partitions, pages, strict=True):
                    page = first_page
                    while True:
                        for at in range(0, len(page), _OBJECTS_AT_ONCE):
                            some = page[at : at + _OBJECTS_AT_ONCE]
                            yield from ((slot, entry) for entry in pool.map(self._entry, some))
                        if page.next_token is None:
                            break
                        page = self._table.query(partition, token=page.next_token)

    def count(self, slot: int) -> int:
        """How many entries a slot has."""
        with ThreadPoolExecutor(SHARDS) as pool:
            partitions = [self._partition(slot, shard) for shard in range(SHARDS)]
            return sum(pool.map(self._table.count, partitions))

    def oldest(self, after: int = -1) -> int | None:
        """The first slot behind ``after`` that has an entry. Reads the whole table: for who does not know
        where to begin, or would ask for very many slots.
        """
        prefix = f"LOG#{self._namespace}#"
        slots = (
            int(key.removeprefix(prefix).split("#")[0]) for key in self._table.scan_keys(prefix)
        )
        return min((slot for slot in slots if slot > after), default=None)

    def sealed(self, now: Micros | None = None) -> int:
        """The newest slot that no acknowledged entry will be added to, as of ``now`` or the clock."""
        return slot_of((self._clock() if now is None else now) - self._seal) - 1

    def check(self) -> None:
        """Ask the table for nothing, to see whether it answers."""
        self._table.get(f"LOG#{self._namespace}", "-", consistent=False)

    def _partition(self, slot: int, shard: int) -> str:
        return f"LOG#{self._namespace}#{slot}#{shard}"

    def _entry(self, item: Item) -> Entry:
        data: bytes = item["data"] if "data" in item else self._read(item["object"])
        return Entry.unpack(data)

    def _write(self, key: str, data: bytes) -> None:
        at = Location(self._bucket, key)
        try:
            self._objects().write(at, data, "application/octet-stream")
        except NeuralStreamError as error:
            raise _unavailable(error) from error

    def _read(self, key: str) -> bytes:
        try:
            return self._objects().read(Location(self._bucket, key))
        except NeuralStreamError as error:
            raise _unavailable(error) from error


def _parts(batches: Sequence[Batch]) -> list[Part]:
    return [
        Part(
            batch.codec.view.name,
            batch.codec.view.generation,
            batch.codec.view.schema_version,
            batch.request_id,
            batch.entities,
            batch.packed.rows,
        )
        for batch in batches
    ]


def _unavailable(error: NeuralStreamError) -> Unavailable:
    """For an object that cannot be written or read, whatever the reason."""
    return Unavailable(
        f"an object of the history log cannot be used: {error.detail}", dependency="history"
    )
