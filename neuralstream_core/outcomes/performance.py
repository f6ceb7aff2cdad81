"""What `/monitoring/performance` answers: predictions joined to outcomes, measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic_core import from_json

from neuralstream_core.errors import NotFound
from neuralstream_core.outcomes.answers import (
    Performance,
    PeriodPerformance,
    VersionPerformance,
)
from neuralstream_core.outcomes.asked import Asked, period
from neuralstream_core.outcomes.calibration import calibration
from neuralstream_core.outcomes.joined import Join, Joined
from neuralstream_core.outcomes.metrics import METRICS, Measured, measure
from neuralstream_core.outcomes.reading import OutcomeReader
from neuralstream_core.outcomes.scoring import Shape, scored_of, shape_of
from neuralstream_core.outcomes.slices import Slice, slices_of
from neuralstream_core.time import Micros, from_micros

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.outcomes.declining import DeclineStates
    from neuralstream_core.outcomes.scored import Scored
    from neuralstream_core.registry.registry import Registry

__all__ = ["Performances"]


class Performances:
    """Reports of one namespace.

    Raises (every method):
        NotFound: no such model or version.
        Invalid: the series would have too many periods.
        TooLarge: the window has too many predictions for this deployment.
        Unavailable: the registry or the history cannot be reached.
    """

    def __init__(self, registry: Registry, reader: OutcomeReader, states: DeclineStates) -> None:
        self._registry, self._reader, self._states = registry, reader, states

    def report(self, asked: Asked) -> Performance:
        """How good the predictions of a model were."""
        unit = period(asked)
        self._registry.model(asked.model)
        if asked.version is not None:
            self._registry.version(asked.model, asked.version)
        window = asked.window
        inputs = () if asked.slices is None else (asked.slices,)
        join = Join(asked.model, asked.version, window.start, window.end, asked.by, inputs, unit)
        read = self._reader.read(join)
        return Performance(
            model=asked.model,
            window=window.span(),
            by=asked.by,
            versions=[self._version(asked, joined, unit) for joined in read.versions],
            unmatched=read.unmatched,
        )

    def shape(self, model: str, version: str) -> Shape | None:
        """What a version predicts; ``None`` also if it is gone."""
        try:
            return shape_of(self._registry.version(model, version).signature)
        except NotFound:
            return None

    def _version(self, asked: Asked, joined: Joined, unit: Micros | None) -> VersionPerformance:
        by_prediction = asked.by == "predicted"
        predictions = joined.predictions if by_prediction else None
        counts: dict[str, Any] = {
            "version": joined.version,
            "shadow": joined.shadow,
            "predictions": predictions,
            "matched": joined.matched,
            "coverage": joined.matched / predictions if predictions else None,
            "share": joined.share,
        }
        shape = self.shape(asked.model, joined.version)
        if shape is None:
            return VersionPerformance(
                **counts,
                kind=None,
                sentence=f"{joined.version}: its predictions cannot be held against a label.",
                n=0,
                left_out=len(joined.at),
                metrics={},
            )
        scored, rows, left_out = scored_of(joined, shape)
        metrics = measure(scored) if len(scored) else {}
        return VersionPerformance(
            **counts,
            kind=shape.kind,
            decline=None if joined.shadow else self._states.alarm(asked.model, joined.version),
            sentence=_sentence(joined, predictions, metrics),
            n=len(scored),
            left_out=left_out,
            metrics=metrics,
            calibration=calibration(scored) if len(scored) else [],
            slices=[]
            if asked.slices is None
            else _slices(scored, joined.inputs[asked.slices][rows]),
            series=[] if unit is None else _series(scored, joined.periods, unit, by_prediction),
        )


def _sentence(joined: Joined, predictions: float | None, metrics: Mapping[str, Measured]) -> str:
    """The main numbers in words."""
    version = f"{joined.version} (shadow)" if joined.shadow else joined.version
    known = f"{joined.matched:,.0f} predictions"
    if predictions is not None:
        if not joined.matched:
            return f"{version}: none of its {predictions:,.0f} predictions has an outcome yet."
        share = joined.matched / predictions
        known = f"{joined.matched:,.0f} of {predictions:,.0f} predictions ({share:.0%})"
    told = [
        f"{METRICS[name].words} {found.value:.4g}"
        + ("" if found.low is None else f" ({found.low:.4g} to {found.high:.4g})")
        for name, found in metrics.items()
        if found.value is not None
    ]
    return (
        f"{version}: {', '.join(told[:3]) or 'nothing to measure'}, over {known} with an outcome."
    )


def _slices(scored: Scored, given: NDArray[Any]) -> list[Slice]:
    """By the values of a feature.

    Args:
        given: JSON of each value, ``None`` where it was not logged.
    """
    texts: list[str | None] = given.tolist()
    known = {text: from_json(text) for text in set(texts) if text is not None}
    values = [None if text is None else known[text] for text in texts]
    if all(value is None for value in values):
        return []
    first = next(name for name, metric in METRICS.items() if metric.kind == scored.kind)
    return slices_of(scored, [str(v) if isinstance(v, list) else v for v in values], first)


def _series(
    scored: Scored, periods: Mapping[int, float], unit: Micros, by_prediction: bool
) -> list[PeriodPerformance]:
    """Period by period, those without predictions left out."""
    place = scored.at // unit
    found: list[PeriodPerformance] = []
    for number in sorted({*periods, *np.unique(place).tolist()}):
        some = scored.take(place == number)
        found.append(
            PeriodPerformance(
                start=from_micros(number * unit),
                predictions=periods.get(number, 0.0) if by_prediction else None,
                n=len(some),
                metrics=measure(some) if len(some) else {},
            )
        )
    return found
