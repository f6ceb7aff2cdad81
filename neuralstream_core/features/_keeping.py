"""Rows go into the history while Redis works: no round trip is added to a write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from neuralstream_core.errors import Unavailable
from neuralstream_core.features._merge import TOO_LARGE
from neuralstream_core.features.writes import Batch, Recorded, WriteLog

if TYPE_CHECKING:
    from neuralstream_core.redis.port import Reply

__all__ = ["Keeping"]

_THREADS: Final = 16
"""Writes at once; of a Lambda function only the laptop stack has more than one."""


class Keeping:
    """Has a log record what is written.

    Redis is called from a thread of this, and the log from the caller's: for all but large writes the log
    takes longer, and who takes longer should not wait for a thread to wake up. The threads are started when
    they are first needed.

    Args:
        log: ``None``: nothing is kept.
    """

    def __init__(self, log: WriteLog | None) -> None:
        self._log = log
        self._threads = ThreadPoolExecutor(_THREADS, "merge")

    def run(self, batches: Sequence[Batch], merge: Callable[[], list[Reply]]) -> list[Reply]:
        """Record the rows of ``batches`` whose views have history, while ``merge`` sends all to Redis. Both
        have ended when this does. Rows that Redis refused as too large are then taken back.

        Returns:
            The reply to each row, as ``merge`` returned them.

        Raises:
            Unavailable: Redis or the log failed; the rows may be in the other one all the same.
        """
        kept = [batch for batch in batches if batch.codec.view.history]
        if self._log is None or not kept:
            return merge()
        merged = self._threads.submit(merge)
        try:
            recorded = _recorded(self._log, kept)
        finally:
            replies = merged.result()
        if TOO_LARGE in replies:
            recorded.replace(_accepted(batches, replies))
        return replies


def _recorded(log: WriteLog, batches: Sequence[Batch]) -> Recorded:
    try:
        return log.record(batches)
    except Unavailable as error:
        raise Unavailable(
            f"{error.detail}; the rows may be in the online store all the same:"
            " sending the same request again is safe",
            dependency=error.dependency,
            retry_after=error.retry_after,
        ) from error


def _accepted(batches: Sequence[Batch], replies: Sequence[Reply]) -> list[Batch]:
    """The batches that are kept, their refused rows without cells."""
    accepted: list[Batch] = []
    at = 0
    for batch in batches:
        end = at + len(batch.packed.keys)
        if batch.codec.view.history:
            refused = [i for i, reply in enumerate(replies[at:end]) if reply == TOO_LARGE]
            accepted.append(batch.without(refused))
        at = end
    return accepted
