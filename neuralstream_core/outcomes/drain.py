"""The prediction log's way from Redis into the history: what is durable there is then removed here.

A crash between the two leaves entries in the stream. The next run appends them again, as parts with the same
request ids, of which the compaction keeps one. Streams may be drained by several runs at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from neuralstream_core.errors import Unavailable
from neuralstream_core.monitoring import layout
from neuralstream_core.monitoring.layout import HOUR, MINUTE
from neuralstream_core.monitoring.prediction_log import FIELD, LOG_SECONDS, size_of
from neuralstream_core.outcomes.rows import PredictionRows
from neuralstream_core.time import Clock

if TYPE_CHECKING:
    from neuralstream_core.history.log import HistoryLog
    from neuralstream_core.redis.port import Command, RedisPort, Reply

__all__ = ["Drain", "Drained"]

_ENTRIES: Final = 1000
"""Read and appended together."""
_HOURS: Final = LOG_SECONDS // 3600 + 1
"""How long after its hour a stream may still be there."""
_STREAMS: Final = 50
"""Asked about in one flight."""
_SETTLED: Final = 10 * MINUTE
"""After its hour a stream gets no more entries of requests that were under way."""

Stream: TypeAlias = tuple[str, str, int]
"""Model, version as counted, and hour since the epoch."""


class Drained(NamedTuple):
    """What a run did.

    Attributes:
        streams: that had entries.
        entries: moved to the history.
        rows: in them.
        damaged: entries that could not be read.
        oldest_ms: age of the oldest entry that was found, in milliseconds.
        overflowed: rows that streams had no room for, since the last run.
        lost_bytes: that Redis no longer had.
        behind: streams that were left, because the time was over.
    """

    streams: int = 0
    entries: int = 0
    rows: int = 0
    damaged: int = 0
    oldest_ms: int = 0
    overflowed: int = 0
    lost_bytes: int = 0
    behind: int = 0


class Drain:
    """Drains the streams of one namespace.

    Args:
        port: the cache.
        log: of the history.
        namespace: of the deployment.
        clock: now, in microseconds.

    Raises (every method):
        Unavailable: Redis or the history cannot be reached; the next run goes on.
    """

    def __init__(self, port: RedisPort, log: HistoryLog, namespace: str, clock: Clock) -> None:
        self._port, self._log = port, log
        self._namespace, self._clock = namespace, clock
        self._rows = PredictionRows(namespace)

    def run(self, seconds: float = 600.0) -> Drained:
        """Move what is there; after about ``seconds`` no further stream is begun."""
        until = monotonic() + seconds
        done = Drained()
        streams = self._streams()
        for start in range(0, len(streams), _STREAMS):
            some = streams[start : start + _STREAMS]
            found = self._look(some)
            done = done._replace(
                overflowed=done.overflowed + sum(overflowed for _, _, overflowed in found)
            )
            for stream, (length, waiting, _) in zip(some, found, strict=True):
                if length and monotonic() >= until:
                    done = done._replace(behind=done.behind + 1)
                elif length:
                    done = self._drain(stream, done._replace(streams=done.streams + 1))
                elif waiting > 0 and self._settled(stream):
                    self._flight([(b"DECRBY", self._waiting(stream), waiting)])
                    done = done._replace(lost_bytes=done.lost_bytes + waiting)
        return done

    def _streams(self) -> list[Stream]:
        """Every stream there may be, the oldest hours first."""
        now = self._clock() // HOUR
        hours = range(now - _HOURS, now + 2)  # a writer's clock may be ahead
        replies = self._flight(
            [(b"SMEMBERS", layout.index_key(self._namespace, hour)) for hour in hours]
        )
        found: list[Stream] = []
        for hour, members in zip(hours, replies, strict=True):
            if isinstance(members, list):
                named = {m.decode().rpartition(":")[0] for m in members if isinstance(m, bytes)}
                found += [(*_of(name), hour) for name in sorted(named)]
        return found

    def _look(self, streams: Sequence[Stream]) -> list[tuple[int, int, int]]:
        """Entries, bytes that wait, and rows that overflowed, which are told of once."""
        commands: list[Command] = []
        for stream in streams:
            where = (self._namespace, *stream)
            commands += [
                (b"XLEN", layout.log_key(*where)),
                (b"GET", layout.log_bytes_key(*where)),
                (b"GETDEL", layout.log_overflow_key(*where)),
            ]
        numbers = [int(r) if isinstance(r, int | bytes) else 0 for r in self._flight(commands)]
        return list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True))

    def _drain(self, stream: Stream, done: Drained) -> Drained:
        """Move all entries of a stream."""
        key = layout.log_key(self._namespace, *stream)
        while True:
            (reply,) = self._flight([(b"XRANGE", key, b"-", b"+", b"COUNT", _ENTRIES)])
            entries = list(_entries(reply))
            if not entries:
                return done
            data = [data for _, data in entries]
            now = self._clock()
            parts = self._rows.parts(data, now)
            self._log.append(parts)
            self._flight(
                [
                    (b"DECRBY", self._waiting(stream), sum(map(size_of, data))),
                    (b"XTRIM", key, b"MINID", _after(entries[-1][0])),
                ]
            )
            done = done._replace(
                entries=done.entries + len(parts),
                rows=done.rows + sum(len(part.rows) for part in parts),
                damaged=done.damaged + len(entries) - len(parts),
                oldest_ms=max(done.oldest_ms, now // 1000 - _milliseconds(entries[0][0])),
            )
            if len(entries) < _ENTRIES:
                return done

    def _settled(self, stream: Stream) -> bool:
        return self._clock() > (stream[2] + 1) * HOUR + _SETTLED

    def _waiting(self, stream: Stream) -> bytes:
        return layout.log_bytes_key(self._namespace, *stream)

    def _flight(self, commands: Sequence[Command]) -> list[Reply]:
        replies = self._port.flight(commands)
        for reply in replies:
            if isinstance(reply, Exception):
                raise Unavailable(f"the cache refused a command: {reply}", dependency="redis")
        return replies


def _of(name: str) -> tuple[str, str]:
    """Model and version of ``model:version``."""
    model, _, version = name.partition(":")
    return model, version


def _entries(reply: Reply) -> Iterator[tuple[bytes, bytes]]:
    """The id and the data of each entry of a stream."""
    for entry in reply if isinstance(reply, list) else ():
        match entry:
            case [bytes(at), [bytes(name), bytes(data), *_]] if name == FIELD:
                yield at, data
            case [bytes(at), *_]:
                yield at, b""


def _milliseconds(entry: bytes) -> int:
    return int(entry.split(b"-")[0])


def _after(entry: bytes) -> bytes:
    """The id that follows ``entry``."""
    milliseconds, _, number = entry.partition(b"-")
    return b"%b-%d" % (milliseconds, int(number) + 1)
