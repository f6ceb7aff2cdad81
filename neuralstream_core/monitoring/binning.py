"""From a baseline to a profile: where the bins lie, and how much of the baseline is in each.

A baseline is raw columns, or histograms of them, per feature and for the prediction. Bins lie between
quantiles of the baseline (each holds about a twentieth of it), so an outlier cannot stretch them. Equal
values are always in one bin: a column of at most 20 distinct values has one bin per value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from neuralstream_core.errors import Invalid
from neuralstream_core.monitoring.counting import (
    INVALID,
    MISSING,
    PRESENT,
    Column,
    component,
    count_series,
    read_column,
)
from neuralstream_core.monitoring.profile import (
    BINS,
    DIMENSION_BINS,
    MAX_CATEGORIES,
    PREDICTION,
    TOP_CATEGORIES,
    Profile,
    Series,
    category_text,
    dimensions_of,
    feature_series,
    prediction_series,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.registry.records import FeatureRef

__all__ = ["MAX_ROWS", "build_profile", "quantile_cuts"]

MAX_ROWS: Final = 5_000_000
"""Rows of a baseline; more add nothing to its quantiles."""
_MAX_BINS: Final = 200
_SLACK: Final = {"float32": 1e-6, "float64": 1e-12}
"""Relative rounding error of a value that was sent as float32 or as text."""


def build_profile(
    features: Sequence[FeatureRef],
    columns: Mapping[str, Any],
    *,
    prediction: Any | None = None,
    score: Any | None = None,
    classes: Sequence[str | int | bool] | None = None,
) -> Profile:
    """The profile of a version from its baseline.

    Args:
        features: the version's features, in model input order.
        columns: by label (``view:feature``) or, where it is unambiguous, by the feature's bare name.
            Each is a sequence or array of values (``None``/NaN missing), or a histogram:
            ``{"edges": [b+1 numbers], "counts": [b], "missing": 0}`` (bin ``i`` is
            ``(edges[i], edges[i+1]]``) or ``{"categories": {text: count}, "missing": 0}``.
            A feature without a column is recorded but has no reference.
        prediction: the model's answers on the baseline, in either form.
        score: a classifier's probabilities on the baseline, in either form.
        classes: a classifier's classes; ``None`` for a regressor.

    Raises:
        Invalid: an unknown name, or a column that cannot be of its feature; ``loc`` is
            ``baseline.columns.<name>``, ``baseline.prediction`` or ``baseline.probability``.
    """
    by_place = _resolve(features, columns)
    series: list[Series] = []
    for place, ref in enumerate(features):
        name, given = by_place.get(place, ("", None))
        series += _of_feature(ref, place, given, f"baseline.columns.{name}")
    for one in prediction_series(classes):
        given = prediction if one.source == PREDICTION else score
        series.append(_with_reference(one, given, f"baseline.{one.name}", "float32"))
    return Profile(series=tuple(series))


def quantile_cuts(values: NDArray[np.float64], bins: int) -> tuple[float, ...]:
    """Inner bin boundaries at the ``k/bins`` quantiles of ``values``, between distinct values.

    At most ``bins - 1`` strictly increasing cuts; none for a constant. Each bin of right-closed
    intervals holds at least one of ``values``. (Quantile definition: inverted empirical distribution,
    Hyndman and Fan 1996, type 1.)
    """
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= bins:
        chosen = np.arange(len(distinct) - 1)
    else:
        reached = np.cumsum(counts) / len(values)
        targets = np.arange(1, bins) / bins
        chosen = np.unique(np.searchsorted(reached, targets - 1e-12, side="left"))
        chosen = chosen[chosen < len(distinct) - 1]
    below, above = distinct[chosen], distinct[chosen + 1]
    middle = below + (above / 2 - below / 2)
    middle = np.where((middle >= above) | (middle < below), below, middle)
    return tuple(float(cut) for cut in middle)


def _bad(where: str, message: str) -> Invalid:
    return Invalid.at(where, message, code="invalid_baseline")


def _resolve(
    features: Sequence[FeatureRef], columns: Mapping[str, Any]
) -> dict[int, tuple[str, Any]]:
    """By the place of a feature, the name its column was given and the column."""
    places: dict[str, list[int]] = {}
    for place, ref in enumerate(features):
        places.setdefault(ref.feature, []).append(place)
    places |= {ref.label: [place] for place, ref in enumerate(features)}
    found: dict[int, tuple[str, Any]] = {}
    for name, given in columns.items():
        loc = f"baseline.columns.{name}"
        if name not in places:
            raise _bad(loc, "not a feature of this version")
        if len(places[name]) > 1:
            raise _bad(
                loc, f"ambiguous: {', '.join(features[place].label for place in places[name])}"
            )
        (place,) = places[name]
        if place in found:
            raise _bad(loc, "given twice")
        found[place] = (name, given)
    return found


def _of_feature(ref: FeatureRef, place: int, given: Any, where: str) -> list[Series]:
    """The series of a feature; of a vector its norm and some of its dimensions."""
    main = feature_series(ref, place)
    if ref.size == 1 or given is None:
        return [_with_reference(main, given, where, ref.dtype)]
    if isinstance(given, Mapping):
        raise _bad(where, "a vector needs raw values")
    column = _read(given, main.type, ref.size, ref.dtype, where)
    found = [_from_values(main, column, ref.dtype)]
    if (column.state == PRESENT).any():
        for dimension in dimensions_of(ref.size):
            part = Series(
                name=f"{ref.label}[{dimension}]",
                kind="dimension",
                type="numeric",
                source=place,
                component=dimension,
            )
            found.append(_from_values(part, column, ref.dtype, DIMENSION_BINS))
    return found


def _with_reference(series: Series, given: Any, where: str, dtype: str) -> Series:
    """``series`` with bins and counts, if it has a baseline."""
    if given is None:
        return series
    if isinstance(given, Mapping):
        return _from_histogram(series, given, where, dtype)
    return _from_values(series, _read(given, series.type, 1, dtype, where), dtype)


def _read(given: Any, kind: str, size: int, dtype: str, where: str) -> Column:
    if isinstance(given, str | bytes) or not hasattr(given, "__len__"):
        raise _bad(where, "must be a list of values or a histogram")
    if len(given) > MAX_ROWS:
        raise _bad(where, f"has more than {MAX_ROWS} values")
    column = read_column(given, type_=kind, size=size)
    if column.numbers is not None and dtype == "float32":
        with np.errstate(over="ignore"):
            column.numbers = column.numbers.astype(np.float32).astype(np.float64)
    states = np.bincount(column.state, minlength=INVALID + 1)
    if states[INVALID] and states[INVALID] == len(column.state) - states[MISSING]:
        raise _bad(where, f"no value is {kind}")
    return column


def _from_values(series: Series, column: Column, dtype: str, bins: int = BINS) -> Series:
    found: dict[str, Any] = {}
    if series.type == "category":
        found = _categories(series, column.texts or {})
    elif series.type == "numeric" and column.numbers is not None:
        present = component(column.numbers[column.state == PRESENT], series.component)
        if len(present):
            low, high = float(present.min()), float(present.max())
            found = {
                "cuts": quantile_cuts(present, bins),
                "novel": sum(int(np.count_nonzero(present == end) == 1) for end in (low, high)),
                **_range(low, high, dtype),
            }
    series = series.model_copy(update=found)
    return series.model_copy(update={"reference": tuple(count_series(series, column).tolist())})


def _range(low: float, high: float, dtype: str) -> dict[str, float]:
    slack = _SLACK.get(dtype, 0.0)
    return {"low": low - slack * abs(low), "high": high + slack * abs(high)}


def _categories(series: Series, texts: Mapping[str, int]) -> dict[str, Any]:
    ranked = sorted(texts, key=lambda text: (-texts[text], text))
    if series.source == PREDICTION:
        # A classifier's classes are known; all of them are categories, seen or not.
        ranked = [*series.categories, *(t for t in ranked if t not in series.categories)]
    return {
        "categories": tuple(ranked[:TOP_CATEGORIES]),
        "rare": tuple(ranked[TOP_CATEGORIES:MAX_CATEGORIES]),
        "closed": 0 < len(ranked) <= MAX_CATEGORIES,
        "novel": sum(1 for k in texts.values() if k == 1),
    }


def _from_histogram(series: Series, given: Mapping[str, Any], where: str, dtype: str) -> Series:
    """A baseline sent as counts: its own bins are the bins."""
    fields = ("edges", "counts") if series.type == "numeric" else ("categories",)
    if unknown := set(given) - {*fields, "missing"}:
        allowed = ", ".join(sorted((*fields, "missing")))
        raise _bad(where, f"unknown field {min(unknown)}; a {series.type} histogram has {allowed}")
    tail = [_count(given.get("missing", 0), where + ".missing"), 0, 0]
    if series.type == "numeric":
        edges, counts = _edges(given, where)
        bins = {"cuts": tuple(edges[1:-1]), "novel": 2, **_range(edges[0], edges[-1], dtype)}
        return series.model_copy(update={**bins, "reference": (*counts, 0, 0, *tail)})
    categories = given.get("categories")
    if not isinstance(categories, Mapping) or not categories:
        raise _bad(where + ".categories", "must map texts to counts")
    texts: Counter[str] = Counter()
    for text, k in categories.items():
        texts[category_text(text)] += _count(k, f"{where}.categories")
    if series.type == "boolean":
        if not set(texts) <= {"true", "false"}:
            raise _bad(where + ".categories", "a boolean has true and false")
        reference = (texts["false"], texts["true"], *tail)
        return series.model_copy(update={"reference": reference})
    found = _categories(series, texts)
    top = [texts[text] for text in found["categories"]]
    reference = (*top, sum(texts.values()) - sum(top), 0, *tail)
    return series.model_copy(update={**found, "reference": reference})


def _edges(given: Mapping[str, Any], where: str) -> tuple[list[float], list[int]]:
    edges, counts = given.get("edges"), given.get("counts")
    if not isinstance(edges, Sequence) or not isinstance(counts, Sequence):
        raise _bad(where, "needs edges and counts")
    if not 1 <= len(counts) <= _MAX_BINS or len(edges) != len(counts) + 1:
        raise _bad(where, f"needs 1 to {_MAX_BINS} counts and one edge more")
    for edge in edges:
        if isinstance(edge, bool) or not isinstance(edge, int | float) or not np.isfinite(edge):
            raise _bad(where + ".edges", "must be finite numbers")
    numbers = [float(edge) for edge in edges]
    if any(a >= b for a, b in pairwise(numbers)):
        raise _bad(where + ".edges", "must increase")
    return numbers, [_count(k, where + ".counts") for k in counts]


def _count(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise _bad(where, "must be a whole number, not negative")
    return value
