"""Rows go into the history while Redis works: no round trip is added to a write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from neuralstream_core.errors import Unavailable
from neuralstream_core.features._merge import TOO_LARGE
from neuralstream_core.features.writes import Batch, Recorded, WriteLog

if TYPE_CHECKING:
    from neuralstream_core.redis.port import Reply

__all__ = ["Keeping"]

_THREADS: Final = 16
"""Appends at once: as many as the clients have connections."""


class Keeping:
    """Calls ``log`` from threads of its own, which are started when they are first needed.

    Args:
        log: ``None``: nothing is kept.
    """

    def __init__(self, log: WriteLog | None) -> None:
        self._log = log
        self._threads = ThreadPoolExecutor(_THREADS, "history")

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
        appended = self._threads.submit(self._log.record, kept)
        try:
            replies = merge()
        finally:
            recorded = _outcome(appended)
        if TOO_LARGE in replies:
            recorded.replace(_accepted(batches, replies))
        return replies


def _outcome(appended: Future[Recorded]) -> Recorded:
    try:
        return appended.result()
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
