"""A handful of a baseline's own values, to try a model on before its version is READY."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from neuralstream_core.registry.records import FeatureRef
from neuralstream_core.registry.requests import Baseline

__all__ = ["samples_of"]

_SAMPLES: Final = 24
"""Values of each feature: enough to meet both sides of most thresholds."""


def samples_of(baseline: Baseline, features: Sequence[FeatureRef]) -> dict[str, list[Any]]:
    """Values by feature label: quantiles of numbers and histograms, the first distinct texts.

    Features without a column, and columns without values, are left out.
    """
    columns = baseline.columns or {}
    found: dict[str, list[Any]] = {}
    for ref in features:
        given = columns.get(ref.label, columns.get(ref.feature))
        values = _of_histogram(given) if isinstance(given, Mapping) else _of_column(given or ())
        if ref.dtype in ("int64", "timestamp"):
            values = [round(v) if isinstance(v, float) else v for v in values]
        if values:
            found[ref.label] = values
    return found


def _of_column(column: Sequence[Any]) -> list[Any]:
    values = [value for value in column if value is not None]
    if all(isinstance(value, int | float) for value in values):
        return _spread(sorted(values))
    return _spread(values)


def _of_histogram(histogram: Mapping[str, Any]) -> list[Any]:
    edges, categories = histogram.get("edges"), histogram.get("categories")
    if isinstance(edges, list) and all(isinstance(edge, int | float) for edge in edges):
        return _spread([float(edge) for edge in edges])
    return _spread(list(categories)) if isinstance(categories, Mapping) else []


def _spread(values: list[Any]) -> list[Any]:
    """At most `_SAMPLES` of the values, evenly spaced, the first and the last among them."""
    if len(values) <= _SAMPLES:
        return values
    last = len(values) - 1
    return [values[round(at * last / (_SAMPLES - 1))] for at in range(_SAMPLES)]
