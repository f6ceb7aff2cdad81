"""Predictions and outcomes as rows of the history, and what is to become of them, counted in plain Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from neuralstream_core.features._codec import Codec
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.features.writes import GivenColumns
from neuralstream_core.history.entries import Part
from neuralstream_core.history.reader import Snapshot
from neuralstream_core.outcomes.ids import PredictionId, deterministic_ulid
from neuralstream_core.outcomes.intake import Outcome
from neuralstream_core.outcomes.joined import By
from neuralstream_core.outcomes.joining import PATIENCE
from neuralstream_core.outcomes.views import PREDICTIONS, internal_views
from neuralstream_core.parquet import ObjectFiles
from neuralstream_core.time import Micros

__all__ = ["NAMESPACE", "LoggedPrediction", "Rows", "expected", "logged", "named"]

NAMESPACE = "test"


@dataclass(frozen=True, slots=True)
class LoggedPrediction:
    """One row of the prediction log."""

    id: str
    at: Micros
    version: str
    label: str | None = None
    value: float | None = None
    probability: float | None = None
    probabilities: str | None = None
    entity: str | None = None
    inputs: str | None = None
    weight: float = 1.0
    shadow: bool = False
    of: str | None = None


class Rows:
    """A history whose rows are all in its log: `History` as `OutcomeReader` asks it."""

    def __init__(self, parts: Iterable[tuple[Micros, Part]]) -> None:
        self._parts = list(parts)

    def snapshot(self, view: FeatureView) -> Snapshot:
        return Snapshot(view, 0, 0, ())

    def attach(self, _files: Sequence[Any]) -> tuple[ObjectFiles, list[str]]:
        return ObjectFiles(None), []  # type: ignore[arg-type]  # it has no files

    def tail(self, *_snapshots: Snapshot) -> Iterator[tuple[Micros, Part]]:
        return iter(self._parts)


def named(model: str, version: str, at: Micros, seed: str) -> str:
    """The id of a prediction, always the same for the same arguments."""
    return str(PredictionId(model, version, deterministic_ulid(at, seed)))


def logged(model: str, request_id: str, predictions: Sequence[LoggedPrediction]) -> Part:
    """Rows of the prediction log, packed."""
    view = internal_views(NAMESPACE)[PREDICTIONS]
    keys = [prediction.id.encode() for prediction in predictions]
    columns: dict[str, Any] = {
        name: [getattr(prediction, name) for prediction in predictions]
        for name in view.names
        if name != "model"
    }
    times = np.array([prediction.at for prediction in predictions], np.int64)
    given = GivenColumns(keys, {"model": [model] * len(keys), **columns}, times)
    packed = given.pack(Codec(view, NAMESPACE, 0), max(times.tolist(), default=0))
    return Part(view.name, view.generation, view.schema_version, request_id, keys, packed.rows)


class Sent(NamedTuple):
    """One outcome and its place in the order of the history."""

    outcome: Outcome
    write_time: Micros
    request_id: str
    row: int

    @property
    def rank(self) -> tuple[Micros, Micros, str, int]:
        return self.outcome.observed_at, self.write_time, self.request_id, self.row


@dataclass
class Expected:
    """What is to be found of a window."""

    predictions: dict[str, float] = field(default_factory=dict)
    """By version, those of shadows under ``{version}~``."""
    truths: dict[str, tuple[str, float | str]] = field(default_factory=dict)
    """By prediction in the window: its version, and its outcome."""
    unmatched: int = 0


def expected(
    predictions: Sequence[LoggedPrediction],
    sent: Sequence[Sent],
    start: Micros,
    end: Micros,
    by: By = "predicted",
) -> Expected:
    """Each outcome counted once, row by row.

    Args:
        predictions: each once.
        sent: outcomes of the same model, repeated ones too.
    """
    known = {prediction.id: prediction for prediction in predictions}
    answered: dict[str, list[LoggedPrediction]] = {}
    for prediction in sorted(predictions, key=lambda p: (p.at, p.id)):
        if not prediction.shadow and prediction.entity is not None:
            answered.setdefault(prediction.entity, []).append(prediction)
    last: dict[str, Sent] = {}
    for each in sent:
        key = each.outcome.key
        if key not in last or last[key].rank < each.rank:
            last[key] = each
    served = {p.of or p.id for p in predictions}
    truth: dict[str, Sent] = {}
    found = Expected()
    for key, each in last.items():
        outcome = each.outcome
        target: str | None = key if key in served else None
        at = PredictionId.parse(key).at if outcome.entity is None else outcome.predicted_at or 0
        if outcome.entity is not None:
            asked = outcome.predicted_at or 0
            earlier = [p for p in answered.get(outcome.entity, []) if p.at <= asked]
            if earlier and asked - earlier[-1].at <= PATIENCE:
                target = earlier[-1].id
        if target is None:
            moment = at if by == "predicted" else outcome.observed_at
            found.unmatched += start <= moment < end
        elif target not in truth or truth[target].rank < each.rank:
            truth[target] = each
    for prediction in known.values():
        name = prediction.version + ("~" if prediction.shadow else "")
        outcome_sent = truth.get(prediction.of or prediction.id)
        if by == "predicted" and start <= prediction.at < end:
            found.predictions[name] = found.predictions.get(name, 0.0) + prediction.weight
        if outcome_sent is None:
            continue
        outcome = outcome_sent.outcome
        moment = prediction.at if by == "predicted" else outcome.observed_at
        if start <= moment < end:
            value = outcome.label if outcome.label is not None else outcome.value
            assert value is not None
            found.truths[prediction.id] = (name, value)
    return found
