"""The online store: rows of feature views in Redis.

Keys of namespace ``ns``, whose only characters outside of an entity id are letters, digits and
``: - _``, so none of them means anything in a pattern:

======================  ==============================================================================
``ns:f:{gen}:{entity}``  the row of an entity; ``gen`` is the generation of its view, random for every
                         creation, so that a view's rows share a prefix and no other view's do
``ns:g:{gen}``           the tombstone of a deleted generation
======================  ==============================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import uuid4

from cachetools import LRUCache

from neuralstream_core.errors import Invalid, Unavailable
from neuralstream_core.features._codec import Codec
from neuralstream_core.features._keeping import Keeping
from neuralstream_core.features._merge import MERGE
from neuralstream_core.features.catalog import Catalog
from neuralstream_core.features.reads import Entities, ManyColumns, ManyRows
from neuralstream_core.features.rows import BlockRead, Entity, Row, ViewRead, WriteResult
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.features.writes import (
    Batch,
    Given,
    GivenColumns,
    GivenRows,
    WriteLog,
    asks_for,
    count_of,
    flight_of,
    result_of,
    tombstone,
)
from neuralstream_core.time import Clock, Micros

if TYPE_CHECKING:
    from neuralstream_core.features._packing import Decoder
    from neuralstream_core.features.block import Block
    from neuralstream_core.redis.port import RedisPort, Reply

__all__ = ["RETENTION_SECONDS", "DeleteProgress", "OnlineStore"]

RETENTION_SECONDS: Final = 400 * 86_400
"""How long a row of a view without a TTL stays after its last write."""
_TOMBSTONE_MS: Final = 30 * 86_400 * 1000
_SCAN_COUNT: Final = 1000
_MAX_CODECS: Final = 4096


class _Packed(NamedTuple):
    """Rows as they are stored, and what reads them as of ``now``."""

    codec: Codec
    decoder: Decoder
    entities: Sequence[Entity]
    rows: list[bytes | None]
    now: Micros


class DeleteProgress(NamedTuple):
    """How far a deletion got.

    Attributes:
        done: whether the view and all of its rows are gone.
        removed: rows removed so far, over all calls.
    """

    done: bool
    removed: int


class OnlineStore:
    """Writes and reads rows.

    Args:
        port: Redis, one node or a cluster.
        catalog: where schemas come from.
        clock: now, in microseconds.
        namespace: first part of every key.
        log: keeps every row that is written, of views with ``history``; ``None``: nobody does.

    Raises (every method that touches rows):
        NotFound: no such view.
        Unavailable: Redis (or, for a view never seen here, the table) cannot answer.
    """

    def __init__(
        self,
        port: RedisPort,
        catalog: Catalog,
        clock: Clock,
        namespace: str,
        *,
        log: WriteLog | None = None,
    ) -> None:
        self.catalog = catalog
        self._port = port
        self._clock = clock
        self._namespace = namespace
        self._keeping = Keeping(log)
        self._codecs: LRUCache[tuple[str, int], Codec] = LRUCache(_MAX_CODECS)
        self._lock = Lock()

    # --- writing -------------------------------------------------------------------------------

    def write(
        self, view: str, rows: Sequence[Mapping[str, Any]], *, where: str = "rows.{}."
    ) -> WriteResult:
        """Write rows (`neuralstream_core.features.WriteRow`), all or, if one is wrong, none.

        Duplicate entities behave as if written one after another. Writing the same rows again ends in
        the same state.

        Raises:
            Invalid: names every wrong place, such as ``rows.3.features.age``, behind ``where`` formatted
                with the row's number.
        """
        return self.commit([self.prepare(view, GivenRows(rows, where))])[0]

    def write_columns(
        self,
        view: str,
        entity_ids: Sequence[Any],
        columns: Mapping[str, Any],
        event_timestamp: Any = None,
    ) -> WriteResult:
        """The same for rows of the same features, one list per feature: see `GivenColumns`.

        Raises:
            Invalid: names every wrong place, such as ``columns.age[3]``.
        """
        return self.commit(
            [self.prepare(view, GivenColumns(entity_ids, columns, event_timestamp))]
        )[0]

    def prepare(
        self, view: str, given: Given, request_id: str | None = None, now: Micros | None = None
    ) -> Batch:
        """Check and pack rows; `commit` sends them.

        Args:
            request_id: of the request or message that brings them, the same when it is delivered again;
                ``None``: a random one.
            now: event time of rows that have none; ``None``: by the clock.

        Raises:
            Invalid: names every wrong place.
        """
        codec = self._codec(view)
        at = self._clock() if now is None else now
        try:
            packed = given.pack(codec, at)
        except Invalid:
            newer = self._latest(view)
            if newer is codec:
                raise
            codec = newer  # another process has added a feature since this one looked
            packed = given.pack(codec, at)
        return Batch(codec, packed, given, request_id or uuid4().hex, at)

    def commit(self, batches: Sequence[Batch]) -> list[WriteResult]:
        """Send prepared rows, all in one flight; one result per batch. When this returns, they are in the log
        too, stale ones included; when it raises, they may be.

        Raises:
            NotFound: a view was deleted since it was prepared.
            Invalid: strings that earlier writes left and these together make a row too large; the other
                rows are written, and in the log this one has no cells.
            Unavailable: also if the log cannot be written; the rows may be in Redis all the same.
        """
        if not batches:
            return []
        replies = self._keeping.run(batches, lambda: self._merge(batches))
        return self._results(batches, replies)

    def _merge(self, batches: Sequence[Batch]) -> list[Reply]:
        generations = _generations(batches)
        now = self._clock()
        calls = [batch.calls(now) for batch in batches]
        calls.append([asks_for(self._namespace, generation) for generation in generations])
        return self._port.run(MERGE, chain(*calls), flight=flight_of(batches))

    def _results(self, batches: Sequence[Batch], replies: Sequence[Reply]) -> list[WriteResult]:
        generations = _generations(batches)
        dead = {
            generation
            for generation, reply in zip(generations, replies[-len(generations) :], strict=True)
            if count_of(reply)
        }
        results: list[WriteResult] = []
        at = 0
        for batch in batches:
            end = at + len(batch.packed.keys)
            if batch.codec.view.generation in dead:
                results.append(self._rewrite(batch))
            else:
                results.append(result_of(batch, replies[at:end]))
            at = end
        return results

    def _rewrite(self, batch: Batch) -> WriteResult:
        """The view was deleted, and perhaps created anew, since this process looked: take back what
        was written to the dead generation and write to the living one."""
        self._port.flight([(b"UNLINK", key) for key in batch.packed.keys])
        codec = self._codec_of(self.catalog.fetch(batch.codec.view.name))
        if codec.view.generation == batch.codec.view.generation:
            raise Unavailable(
                f"view {batch.codec.view.name} is being deleted", dependency="registry"
            )
        name = batch.codec.view.name
        return self.commit([self.prepare(name, batch.given, batch.request_id, batch.now)])[0]

    # --- reading -------------------------------------------------------------------------------

    def read_one(self, view: str, entity: Entity, features: Sequence[str] | None = None) -> Row:
        """One entity's features of one view.

        Raises:
            NotFound: the entity was never written.
            Invalid: an unknown feature, or an entity of the wrong form.
        """
        return self.read_many(view, [entity], features).only

    def read_many(
        self,
        view: str,
        entities: Entities,
        features: Sequence[str] | None = None,
    ) -> ManyRows:
        """Rows of one view in the order of ``entities``, which may depend on the view.

        A request that the cached view cannot answer (an unknown feature, no such entity) is tried once
        more with the view as it is in the table now.

        Raises:
            Invalid: an unknown feature, or an entity of the wrong form.
        """
        found = self._read_packed(view, entities, features)
        codec, decoder, now = found.codec, found.decoder, found.now
        rows = [None if row is None else decoder.decode(row, now) for row in found.rows]
        return ManyRows(codec.view, found.entities, rows, decoder.missing)

    def read_columns(
        self,
        view: str,
        entities: Entities,
        features: Sequence[str] | None = None,
        *,
        event_times: bool = False,
    ) -> ManyColumns:
        """The same in columns.

        Args:
            event_times: whether the newest event time of each row is answered too.

        Raises:
            Invalid: as `read_many`.
        """
        from neuralstream_core.features.block import build_block

        found = self._read_packed(view, entities, features)
        selection = found.decoder.selection
        block = build_block(selection, found.rows, found.now, event_times=event_times)
        return ManyColumns(found.codec.view, found.entities, block)

    def _read_packed(
        self, view: str, entities: Entities, features: Sequence[str] | None
    ) -> _Packed:
        """The stored rows of one view, and what reads them."""
        wanted = None if features is None else tuple(features)
        codec = self._codec(view)
        refused: Invalid | None = None
        try:
            found = self._fetch(codec, entities, wanted)
            if any(row is not None for row in found.rows):
                return found
        except Invalid as error:
            refused = error
        newer = self._latest(view)
        if newer is not codec:
            return self._fetch(newer, entities, wanted)
        if refused is not None:
            raise refused
        return found

    def _fetch(self, codec: Codec, entities: Entities, features: tuple[str, ...] | None) -> _Packed:
        decoder = codec.decoder(features)
        wanted = entities(codec.view) if callable(entities) else entities
        keys = codec.keys(wanted)
        now = self._clock()
        rows = self._port.mget(keys)
        codec.check(wanted, rows)
        return _Packed(codec, decoder, wanted, rows, now)

    def read_rows(self, reads: Sequence[ViewRead]) -> list[Row]:
        """One entity per read, any number of views, one flight: the real-time way.

        An entity never written is a row of NOT_FOUND.
        """
        readers = [self._reader(read.view, read.features) for read in reads]
        keys = [codec.key(read.entity) for (codec, _), read in zip(readers, reads, strict=True)]
        now = self._clock()
        found = self._port.mget(keys)
        return [decoder.decode(row, now) for (_, decoder), row in zip(readers, found, strict=True)]

    def read_blocks(self, reads: Sequence[BlockRead]) -> list[Block]:
        """Many entities per read, any number of views, one flight, answered in columns."""
        from neuralstream_core.features.block import build_block

        readers = [self._reader(read.view, read.features) for read in reads]
        keys = [codec.keys(read.entities) for (codec, _), read in zip(readers, reads, strict=True)]
        now = self._clock()
        found = self._port.mget(list(chain.from_iterable(keys)))
        blocks: list[Block] = []
        at = 0
        for (codec, decoder), read in zip(readers, reads, strict=True):
            end = at + len(read.entities)
            rows = found[at:end]
            block = build_block(decoder.selection, rows, now)
            if not block.complete:
                codec.check(read.entities, rows)
            blocks.append(block)
            at = end
        return blocks

    # --- deleting ------------------------------------------------------------------------------

    def delete_view(self, name: str, *, seconds: float = 10.0) -> DeleteProgress:
        """Delete a view and its own rows, in bounded steps, for about ``seconds``; call again until
        ``done``. From the first call on the view can no longer be read or written.

        Raises:
            Conflict: model versions depend on the view.
        """
        deletion = self.catalog.begin_delete(name)
        prefix = f"{self._namespace}:f:{deletion.generation}:".encode()
        mark = tombstone(self._namespace, deletion.generation)
        self._port.flight([(b"SET", mark, b"1", b"PX", _TOMBSTONE_MS)])
        until = monotonic() + seconds
        while True:
            cursor, keys = self._port.scan(deletion.cursor, prefix + b"*", _SCAN_COUNT)
            own = [key for key in keys if key.startswith(prefix)]
            removed = sum(
                map(count_of, self._port.flight([(b"UNLINK", key) for key in own])) if own else ()
            )
            deletion = deletion._replace(cursor=cursor, removed=deletion.removed + removed)
            if cursor is None:
                self.catalog.finish_delete(deletion)
                return DeleteProgress(done=True, removed=deletion.removed)
            if monotonic() >= until:
                self.catalog.note_progress(deletion)
                return DeleteProgress(done=False, removed=deletion.removed)

    # --- codecs --------------------------------------------------------------------------------

    def _codec(self, name: str) -> Codec:
        return self._codec_of(self.catalog.get(name))

    def _reader(self, view: str, features: tuple[str, ...] | None) -> tuple[Codec, Decoder]:
        codec = self._codec(view)
        try:
            return codec, codec.decoder(features)
        except Invalid:
            newer = self._latest(view)  # another process may have added the feature since
            return newer, newer.decoder(features)

    def _codec_of(self, view: FeatureView) -> Codec:
        revision = (view.generation, view.revision)
        with self._lock:
            if (codec := self._codecs.get(revision)) is None:
                codec = self._codecs[revision] = Codec(
                    view, self._namespace, RETENTION_SECONDS * 1000
                )
        return codec

    def _latest(self, name: str) -> Codec:
        return self._codec_of(self.catalog.latest(name))


def _generations(batches: Sequence[Batch]) -> dict[str, None]:
    """Of the views of ``batches``, each once, in order."""
    return dict.fromkeys(batch.codec.view.generation for batch in batches)
