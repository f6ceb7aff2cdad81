"""Logged predictions: made, recorded, and read back from the history."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuralstream_core.monitoring.recorder import RedisRecorder
from neuralstream_core.outcomes.ids import PredictionId, random_ulid
from neuralstream_core.outcomes.log import LoggedRows, packed
from neuralstream_core.outcomes.views import PREDICTIONS, internal_views
from tests.support.history import HistoryHouse
from tests.support.monitoring import NAMESPACE, Watched

__all__ = ["logged", "predict_one", "predict_rows"]

WATCHED = Watched()
_RNG = np.random.default_rng(17)


def predict_one(recorder: RedisRecorder, now: int, **more: Any) -> str:
    """Record one logged prediction; its id."""
    made = PredictionId("m", "v1", random_ulid(now))
    rows = LoggedRows(str(made), None, [1], [0.75], entities=["u1"], **more)
    recorder.record(WATCHED.row(_RNG, log=packed(rows)))
    return str(made)


def predict_rows(recorder: RedisRecorder, now: int, count: int, **more: Any) -> list[str]:
    """Record a logged batch; the ids of its rows."""
    made = PredictionId("m", "v1", random_ulid(now))
    numbers = list(range(count))
    rows = LoggedRows(str(made), numbers, [1] * count, [0.75] * count, **more)
    recorder.record(WATCHED.batch(_RNG, count, log=packed(rows)))
    return [f"{made}:{number}" for number in numbers]


def logged(house: HistoryHouse) -> list[dict[str, Any]]:
    """Rows of predictions in the history's files, by id."""
    rows = house.table(internal_views(NAMESPACE)[PREDICTIONS])
    return sorted(rows, key=lambda row: str(row["_entity"]))
