"""Shadow versions: they predict for the requests of others, are counted and logged, and never answer.

A shadow runs after the answer is inferred, on the same features; those that it alone reads come with the same
flight, and what it did is counted with the same flight as the answer. So it costs one inference more, and
nothing when there is no shadow. Whatever it raises stays here.

* It is loaded in a thread of its own, and only beside the models that are there: it evicts none. Until then
  requests go without it.
* An inference that takes longer than `LIMIT`, a shadow that cannot be loaded, and an error that nobody
  designed pause it for `PAUSE` seconds in this process.
* It sees what was answered: not a request that names its version, was refused or was answered with
  declared defaults, and no job.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from neuralstream_core.errors import NeuralStreamError
from neuralstream_core.features.rows import Entity
from neuralstream_core.monitoring.layout import SHADOW
from neuralstream_core.monitoring.observation import Failed, Shadowed
from neuralstream_core.outcomes.ids import random_ulid
from neuralstream_core.outcomes.log import sampled
from neuralstream_core.registry.records import PredictionLog, VersionRecord
from neuralstream_core.serving.cells import RowError, fill_columns, filled, override_columns
from neuralstream_core.serving.deployments import Deployment
from neuralstream_core.serving.inference import Deadline, infer_group
from neuralstream_core.serving.logged import log_group, log_prediction, log_tensors
from neuralstream_core.serving.models import Models
from neuralstream_core.serving.observed import (
    Flags,
    answered_rows,
    observe,
    observe_group,
    observe_tensors,
)
from neuralstream_core.serving.predictions import Group, Prediction, PredictionColumns, RowIds
from neuralstream_core.serving.reads import Cells, RowRequest, plan_row
from neuralstream_core.serving.servable import Servable
from neuralstream_core.time import Clock

if TYPE_CHECKING:
    from neuralstream_core.features.store import OnlineStore

__all__ = ["LIMIT", "PAUSE", "Shadow", "Shadows"]

_log = logging.getLogger("neuralstream.shadows")

LIMIT: Final = 0.5
"""Seconds of inference, of all rows of a request together."""
PAUSE: Final = 60.0
_FLAGS: Final[Flags] = {"cold": False, "stale_routing": False, "pinned": False}
_ALONE: Final = np.array([-1])


class Shadows:
    """The shadow versions of an engine.

    Args:
        models: where they are loaded.
        prepare: `RedisRecorder.prepare`; their profiles are compiled when they are loaded.
        clock: now, in microseconds.
        now: a monotonic clock in seconds.
    """

    def __init__(
        self,
        models: Models,
        prepare: Callable[..., None],
        clock: Clock,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._models = models
        self._prepare = prepare
        self._clock = clock
        self._now = now
        self._lock = threading.Lock()
        self._loading: set[tuple[str, str]] = set()
        self._paused: dict[tuple[str, str], float] = {}

    def of(self, deployment: Deployment, rows: int = 1) -> Shadow | None:
        """The shadow of one request; ``None`` where it has none, or this one is not in its sample.

        Args:
            rows: of the request; of several each is in the sample or not.
        """
        record, asked = deployment.shadow, deployment.model.shadow
        if record is None or asked is None or self.resting(record):
            return None
        try:
            servable = self._models.loaded(record)
            if servable is None:
                self._load((record.model, record.version), record)
                return None
            unique = random_ulid(self._clock())
            kept = np.arange(rows)
            if asked.sample < 1:
                kept = np.flatnonzero(sampled(unique, _ALONE if rows == 1 else kept, asked.sample))
        except Exception as error:  # noqa: BLE001 - the request goes on without it
            self.pause(record, error)
            return None
        return Shadow(self, servable, unique, kept, deployment.model.log) if len(kept) else None

    def pause(self, record: VersionRecord, why: object) -> None:
        """Go without a shadow for a while."""
        with self._lock:
            self._paused[record.model, record.version] = self._now() + PAUSE
        _log.warning(
            "the shadow %s of %s is left out for %d s: %s",
            record.version,
            record.model,
            PAUSE,
            why,
            exc_info=why if isinstance(why, Exception) and _undesigned(why) else None,
        )

    def resting(self, record: VersionRecord) -> bool:
        """Whether requests go without a shadow, because of what it did."""
        until = self._paused.get((record.model, record.version))
        return until is not None and self._now() < until

    def _load(self, key: tuple[str, str], record: VersionRecord) -> None:
        with self._lock:
            if key in self._loading:
                return
            self._loading.add(key)
        threading.Thread(target=self._fetch, args=(key, record), daemon=True).start()

    def _fetch(self, key: tuple[str, str], record: VersionRecord) -> None:
        try:
            if not self._models.fits(record):
                self.pause(record, "there is no memory left beside the models that answer")
                return
            servable = self._models.get(record)
            name = record.version + SHADOW
            self._prepare(
                record.model, name, record.profile, servable.features, servable.reader.classes
            )
        except Exception as error:  # noqa: BLE001 - in a thread: nobody else would hear of it
            self.pause(record, error)
        finally:
            with self._lock:
                self._loading.discard(key)


@dataclass(slots=True)
class Shadow:
    """The shadow of one request.

    Attributes:
        unique: the ULID of the request's predictions, its own and those of the answer.
        kept: rows of the request that it sees.
        cells: what it reads for the one row of a request.
        group: what it reads for the rows of a request.
        errors: of the rows of ``group``.
        failed: why it sees none of the request.
    """

    shadows: Shadows
    servable: Servable
    unique: str
    kept: np.ndarray
    log: PredictionLog
    cells: Cells | None = None
    group: Group | None = None
    errors: dict[int, RowError] = field(default_factory=dict)
    failed: Exception | None = None

    # -- before the flight that reads features -------------------------------------------------

    def plan(self, store: OnlineStore, request: RowRequest, served: Servable) -> Shadow | None:
        """Prepare to read the features of one row; ``None`` where the answer's version is the shadow."""
        if served.version.version == self.servable.version.version:
            return None
        try:
            lookup = self.servable.lookup
            own = {name: value for name, value in request.features.items() if name in lookup}
            self.servable.bound  # noqa: B018 - raises for a version without features
            self.cells = plan_row(store, self.servable, replace(request, features=own))
        except Exception as error:  # noqa: BLE001 - the answer goes on without it
            self.failed = error
        return self

    def plan_rows(
        self, given: Mapping[str, Sequence[Any] | np.ndarray], feature_view: str | None
    ) -> Shadow:
        """Prepare to read the features of the rows that it sees."""
        try:
            lookup = self.servable.lookup
            own = {name: values for name, values in given.items() if name in lookup}
            group = Group(self.servable, self.kept)
            group.columns, group.status = override_columns(
                self.servable, self.kept, own, feature_view, self.errors
            )
            self.group = group
        except Exception as error:  # noqa: BLE001 - as in plan
            self.failed = error
        return self

    # -- after the answer ----------------------------------------------------------------------

    def row(self, prediction: Prediction) -> Shadowed:
        """What it makes of the row that ``prediction`` answered."""
        return self._guarded(1, lambda: self._row(prediction))

    def rows(self, columns: PredictionColumns, entities: Sequence[Entity]) -> Shadowed:
        """What it makes of the rows that ``columns`` answers."""
        return self._guarded(len(self.kept), lambda: self._rows(columns, entities))

    def tensors(
        self, served: Servable, tensors: Callable[[Servable], Mapping[str, np.ndarray]]
    ) -> Shadowed | None:
        """What it makes of the caller's own tensors."""
        if served.version.version == self.servable.version.version:
            return None
        return self._guarded(1, lambda: self._tensors(served, tensors))

    def _row(self, prediction: Prediction) -> Shadowed:
        cells, servable = self.cells, self.servable
        if cells is None:
            raise RuntimeError("nothing was read")
        begin = perf_counter()
        missing = any(cells.status)
        values = filled(servable, cells.values, cells.status) if missing else cells.values
        predictions = servable.reader.run(servable.runtime, servable.bound.row(values), 1, LIMIT)
        took, read = perf_counter() - begin, prediction.seconds[1]
        own = replace(
            prediction,
            servable=servable,
            answer=servable.reader.one(predictions),
            values=values,
            status=cells.status if missing else None,
            predictions=predictions,
            seconds=(read + took, read, took),
        )
        of = prediction.servable.version.version
        return observe(own, _FLAGS, log_prediction(own, self.log, of=of))

    def _rows(self, columns: PredictionColumns, entities: Sequence[Entity]) -> Shadowed:
        group, errors = self.group, self.errors
        if group is None:
            raise RuntimeError("nothing was read")
        # Rows without an answer, and those that the version itself answered, are none of a shadow.
        names = np.array(columns.versions, object)[columns.version]
        others = names[group.rows] != self.servable.version.version
        others &= ~np.isin(group.rows, list(columns.errors))
        group = Group(
            group.servable,
            group.rows[others],
            [column[others] for column in group.columns],
            group.status[others],
        )
        begin = perf_counter()
        group.good = fill_columns(group.servable, group.columns, group.status, group.rows, errors)
        infer_group(group, errors, Deadline.begin(LIMIT))
        took, read = perf_counter() - begin, columns.seconds[1]
        kept = answered_rows(group, errors)
        seen = observe_group(group, errors, kept, (read + took, read, took), 1, _FLAGS)
        ids = RowIds(columns.model, columns.unique, columns.numbers)
        seen.log = log_group(group, kept, self.log, ids, entities, of=names.tolist())
        return seen

    def _tensors(
        self, served: Servable, tensors: Callable[[Servable], Mapping[str, np.ndarray]]
    ) -> Shadowed:
        servable = self.servable
        inputs = tensors(servable)
        begin = perf_counter()
        rows = len(next(iter(inputs.values())))
        predictions = servable.reader.run(servable.runtime, inputs, rows, LIMIT)
        took = perf_counter() - begin
        answers = servable.reader.many(predictions)
        seen = observe_tensors(servable, inputs, answers, (took, 0.0, took), _FLAGS)
        of = served.version.version
        seen.log = log_tensors(servable, answers, seen, self.log, self.unique, of=of)
        return seen

    def _guarded(self, rows: int, run: Callable[[], Shadowed]) -> Shadowed:
        record = self.servable.version
        name = record.version + SHADOW
        try:
            if self.failed is not None:
                raise self.failed
            seen = run()
        except NeuralStreamError as error:
            if error.code == "inference_timeout":
                self.shadows.pause(record, error)
            return Failed(record.model, name, error.code, rows)
        except Exception as error:  # noqa: BLE001 - the answer is there and must be given
            self.shadows.pause(record, error)
            return Failed(record.model, name, "shadow_failed", rows)
        seen.version = name
        return seen


def _undesigned(error: Exception) -> bool:
    return not isinstance(error, NeuralStreamError)
