"""The parts of the history, built from settings: its reader, and the scheduled tasks with their metrics."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from pydantic import Field

from neuralstream_core.history.log import SLOT
from neuralstream_core.history.manifest import Heads
from neuralstream_core.history.reader import History
from neuralstream_core.objects import Objects
from neuralstream_core.settings import HistorySettings, TableSettings
from neuralstream_core.table import Table
from neuralstream_core.time import system_clock
from neuralstream_lambda.metrics import emit, function_dimension
from neuralstream_lambda.wiring import dynamodb_client, glue_client, history_log, s3_client, table

if TYPE_CHECKING:
    from neuralstream_core.history.compaction import Compacted, Views
    from neuralstream_core.history.tables import GlueTables

__all__ = ["CompactionSettings", "cleaned", "compacted", "history"]

_SECONDS = 240.0
"""No further batch is begun after this time, so that a run ends before the next one is due."""


class CompactionSettings(HistorySettings, TableSettings):
    """What the scheduled tasks read and write."""

    catalog_database: str = Field(min_length=1, max_length=255)
    """Database of the Glue catalog that holds a table for each view."""


@cache
def history(settings: HistorySettings) -> History:
    """The history as its readers see it."""
    return History(
        history_log(settings),
        _heads(settings),
        Objects(s3_client()),
        settings.data_bucket,
        system_clock,
    )


def compacted(settings: CompactionSettings) -> dict[str, int]:
    """Make files of what the log holds; how many of what.

    Raises:
        Conflict: another run was first.
        Unavailable: try again.
    """
    from neuralstream_core.history.compaction import Compactor

    compactor = Compactor(
        history_log(settings),
        _heads(settings),
        _views(settings),
        Objects(s3_client()),
        settings.data_bucket,
        system_clock,
    )
    done = compactor.run(_SECONDS)
    _measure(done)
    return done._asdict() | {"tables": _publish(settings)}


def cleaned(settings: CompactionSettings) -> dict[str, int]:
    """Delete what is no longer part of the history; how many of what.

    Raises:
        Conflict: a compaction was first.
        Unavailable: try again.
    """
    from neuralstream_core.history.janitor import Janitor

    janitor = Janitor(
        _heads(settings),
        _views(settings),
        Objects(s3_client()),
        settings.data_bucket,
        system_clock,
        tables=_tables(settings),
    )
    return janitor.run()._asdict()


def _publish(settings: CompactionSettings) -> int:
    """Show what was committed in the Glue catalog; how many tables changed."""
    tables, views = _tables(settings), _views(settings)
    count = 0
    for head in _heads(settings).all():
        if head.published != head.manifest and not head.deleted:
            view = views(head.view)
            if view is not None and view.generation == head.generation:
                count += tables.publish(view, head)
    return count


def _views(settings: CompactionSettings) -> Views:
    from neuralstream_core.history.compaction import view_lookup
    from neuralstream_core.outcomes.views import internal_views

    internal = internal_views(settings.namespace)
    return view_lookup(table(settings), settings.namespace, system_clock, internal)


def _tables(settings: CompactionSettings) -> GlueTables:
    from neuralstream_core.history.tables import GlueTables

    return GlueTables(
        glue_client(),
        settings.catalog_database,
        _heads(settings),
        Objects(s3_client()),
        settings.data_bucket,
    )


def _measure(done: Compacted) -> None:
    """A run as metrics: alarms are set on the first of them."""
    emit(
        system_clock(),
        function_dimension(),
        {
            "HistoryBehindSeconds": (done.behind * SLOT // 1_000_000, "Seconds"),
            "HistoryRowsCompacted": (done.rows, "Count"),
            "HistoryRowsDropped": (done.dropped, "Count"),
            "HistoryEntriesLate": (done.late, "Count"),
            "HistoryFilesWritten": (done.files, "Count"),
        },
    )


@cache
def _heads(settings: HistorySettings) -> Heads:
    items = Table(dynamodb_client(), settings.history_table, dependency="history")
    return Heads(items, settings.namespace)
