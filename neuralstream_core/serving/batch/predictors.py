"""How a job predicts: the serving engine with its clock stopped and its counts held back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from neuralstream_core.monitoring.observation import AnyObservation, Recorder, Refused
from neuralstream_core.serving.batch.cells import Entity, RowError
from neuralstream_core.serving.batch.chunks import Answers, Predictor
from neuralstream_core.time import Micros

if TYPE_CHECKING:
    from neuralstream_core.serving.engine import Engine
    from neuralstream_core.serving.predictions import PredictionColumns

__all__ = ["EngineAt", "EnginePredictor", "HeldRecorder"]

EngineAt: TypeAlias = "Callable[[Micros, Recorder], Engine]"
"""An engine that sees the feature store as of a moment and reports to the given recorder."""


class HeldRecorder:
    """Keeps observations until what they count is final, so that a retried chunk counts once."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._held: list[AnyObservation] = []

    def record(self, observation: AnyObservation) -> None:
        """Keep."""
        self._held.append(observation)

    def failure(
        self,
        model: str,
        version: str | None,
        code: str,
        *,
        rows: int = 1,
        refused: Refused | None = None,
    ) -> None:
        """Dropped: the task fails as a whole and is tried again, nobody was answered."""

    def release(self) -> None:
        """Hand everything on."""
        held, self._held = self._held, []
        for observation in held:
            self._recorder.record(observation)


class EnginePredictor(Predictor):
    """A `Predictor` over `neuralstream_core.serving.engine.Engine`."""

    def __init__(self, engine_at: EngineAt, recorder: Recorder, model: str, as_of: Micros) -> None:
        self._held = HeldRecorder(recorder)
        self._engine = engine_at(as_of, self._held)
        self._model = model

    def predict(
        self,
        version: str,
        entities: Sequence[Entity],
        others: Mapping[str, Sequence[str]],
        features: Mapping[str, Sequence[Any]],
    ) -> Answers:
        """See `Predictor.predict`."""
        return answers(
            self._engine.predict_columns(
                self._model,
                entities,
                keys=others or None,
                overrides={name: _column(values) for name, values in features.items()} or None,
                version=version,
                job=True,
            )
        )

    def count(self) -> None:
        """See `Predictor.count`."""
        self._held.release()


def answers(columns: PredictionColumns) -> Answers:
    """The engine's columns of one version as Python values with ``None`` at failed rows."""
    bad = {row: RowError(error.code, error.detail) for row, error in columns.errors.items()}
    predictions = _blanked(columns.prediction.tolist(), bad)
    numbers = {"probability": columns.probability, "score": columns.score}
    named: dict[str, dict[str, list[Any]]] = {
        field: {name: _blanked(column.tolist(), bad) for name, column in found.items()}
        for field, found in (("probabilities", columns.probabilities), ("scores", columns.scores))
    }
    for names in columns.names.values():
        named["outputs"] = {
            name: [None if row is None else row[at] for row in predictions]
            for at, name in enumerate(names)
        }
    return Answers(
        predictions,
        {
            field: _blanked(column.tolist(), bad)
            for field, column in numbers.items()
            if column is not None
        },
        named,
        bad,
    )


def _blanked(values: list[Any], bad: Mapping[int, RowError]) -> list[Any]:
    for row in bad:
        values[row] = None
    return values


def _column(values: Sequence[Any]) -> Any:
    """Floats as an array, in which the engine reads NaN as missing; anything else value by value."""
    if set(map(type, values)) <= {float, type(None)} and any(v is not None for v in values):
        import numpy as np

        return np.array(values, dtype=np.float64)
    return values
