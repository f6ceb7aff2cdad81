"""Predictions and outcomes out of the history: from its files, and from what came in since."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from neuralstream_core.errors import TooLarge
from neuralstream_core.history.reader import History
from neuralstream_core.history.staging import Staging
from neuralstream_core.outcomes.joined import Join, Read
from neuralstream_core.outcomes.joining import Joining, Source
from neuralstream_core.outcomes.views import internal_views
from neuralstream_core.parquet import Space, database

__all__ = ["OutcomeReader"]


class OutcomeReader:
    """Joins predictions and outcomes of one namespace.

    Args:
        history: where both are.
        namespace: see `neuralstream_core.settings.BaseSettings.namespace`.
        space: what a join may take.

    Raises (every method):
        Unavailable: the history cannot be read.
        TooLarge: the window has more predictions than fit into ``space``.
    """

    def __init__(self, history: History, namespace: str, space: Space) -> None:
        self._history, self._space = history, space
        self._views = internal_views(namespace)

    def read(self, join: Join) -> Read:
        """Join the predictions of a window to their outcomes."""
        with self._opened() as work:
            work.outcomes(join)
            span = work.predicted(join)
            work.predictions(join, span)
            work.match(join)
            return Read(work.versions(join), work.unmatched(join))

    @contextmanager
    def _opened(self) -> Iterator[Joining]:
        import duckdb

        with TemporaryDirectory(dir=self._space.folder) as name:
            folder = Path(name)
            (folder / "spill").mkdir()
            snapshots = [self._history.snapshot(view) for view in self._views.values()]
            files, _ = self._history.attach(())
            memory = f"{self._space.memory_mb}MB"
            with database(
                files, memory=memory, threads=self._space.threads, spill=folder / "spill"
            ) as found:
                tails: dict[str, Staging] = {}
                for snapshot in snapshots:
                    (folder / snapshot.view.name).mkdir()
                    staging = Staging(snapshot.view, folder / snapshot.view.name, found)
                    tails[snapshot.view.generation] = staging
                for write_time, part in self._history.tail(*snapshots):
                    tails[part.generation].add(write_time, part)
                sources: dict[str, Source] = {}
                for snapshot in snapshots:
                    staging = tails[snapshot.view.generation]
                    staging.flush()
                    sources[snapshot.view.name] = Source(
                        snapshot.view, snapshot.files, [str(path) for path in staging.files]
                    )
                try:
                    yield Joining(found, files, self._history, sources)
                except duckdb.OutOfMemoryException as error:
                    raise TooLarge(
                        "the window has more predictions than this deployment can join: ask for"
                        " a shorter one, or log a sample"
                    ) from error
                except duckdb.Error as error:
                    if files.failure is not None:
                        raise files.failure from error
                    raise
