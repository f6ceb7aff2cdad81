"""From a baseline to a profile: where the bins lie, and how much of the baseline is in each.

A baseline is raw columns, or histograms of them, per feature and for the prediction. Bins are the
quantiles of the baseline (each about a twentieth of it), so a single outlier cannot stretch them; ties
never split: equal values are always in one bin, and a column with at most 20 distinct values gets one
bin a value. A constant column has one bin, and everything else is its tails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from neuralstream_core.errors import Invalid
from neuralstream_core.monitoring.counting import (
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
    prediction_grid,
    series_type,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.registry.records import FeatureRef

__all__ = ["MAX_ROWS", "build_profile", "quantile_cuts"]

MAX_ROWS: Final = 5_000_000
"""Rows of a baseline; more add nothing to its quantiles."""
_MAX_BINS: Final = 200
_SLACK: Final = {"float32": 1e-6, "float64": 1e-12}
"""Relative rounding a value may have met on its way (float32 on the wire, text and back)."""


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
            ``baseline.columns.<name>`` or ``baseline.prediction``.
    """
    by_place = _resolve(features, columns)
    series: list[Series] = []
    for place, ref in enumerate(features):
        where = f"baseline.columns.{by_place[place][0]}" if place in by_place else ""
        given = by_place[place][1] if place in by_place else None
        series += _feature_series(ref, place, given, where)
    for grid in prediction_grid(classes):
        given = prediction if grid.source == PREDICTION else score
        where = "baseline.prediction" if grid.source == PREDICTION else "baseline.probability"
        if given is None:
            series.append(grid)
        elif isinstance(given, Mapping):
            series.append(_from_histogram(grid, given, where, "float32"))
        else:
            series.append(_derive(grid, _read(given, grid.type, 1, "float32", where), "float32"))
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


def _resolve(
    features: Sequence[FeatureRef], columns: Mapping[str, Any]
) -> dict[int, tuple[str, Any]]:
    labels = {ref.label: place for place, ref in enumerate(features)}
    bare: dict[str, list[int]] = {}
    for place, ref in enumerate(features):
        bare.setdefault(ref.feature, []).append(place)
    found: dict[int, tuple[str, Any]] = {}
    for name, given in columns.items():
        places = [labels[name]] if name in labels else bare.get(name, [])
        loc = f"baseline.columns.{name}"
        if not places:
            raise Invalid.at(loc, "not a feature of this version", code="invalid_baseline")
        if len(places) > 1:
            raise Invalid.at(
                loc, "several views have it; write view:feature", code="invalid_baseline"
            )
        if places[0] in found:
            raise Invalid.at(loc, "given twice", code="invalid_baseline")
        found[places[0]] = (name, given)
    return found


def _feature_series(ref: FeatureRef, place: int, given: Any, where: str) -> list[Series]:
    kind = series_type(ref.dtype)
    main = Series(
        name=ref.label,
        kind="feature",
        type=kind,
        source=place,
        component=-1 if ref.size > 1 else None,
        closed=kind != "category",
    )
    if given is None:
        return [main]
    if isinstance(given, Mapping):
        if ref.size > 1:
            raise Invalid.at(where, "a vector needs raw values", code="invalid_baseline")
        return [_from_histogram(main, given, where, ref.dtype)]
    column = _read(given, kind, ref.size, ref.dtype, where)
    found = [_derive(main, column, ref.dtype)]
    if ref.size > 1 and (column.state == PRESENT).any():
        for dimension in dimensions_of(ref.size):
            part = Series(
                name=f"{ref.label}[{dimension}]",
                kind="dimension",
                type="numeric",
                source=place,
                component=dimension,
            )
            found.append(_derive(part, column, ref.dtype, DIMENSION_BINS))
    return found


def _read(given: Any, kind: str, size: int, dtype: str, where: str) -> Column:
    if isinstance(given, str | bytes) or not hasattr(given, "__len__"):
        raise Invalid.at(where, "must be a list of values or a histogram", code="invalid_baseline")
    if len(given) > MAX_ROWS:
        raise Invalid.at(where, f"has more than {MAX_ROWS} values", code="invalid_baseline")
    column = read_column(given, type_=kind, size=size)
    if column.numbers is not None and dtype == "float32":
        with np.errstate(over="ignore"):
            column.numbers = column.numbers.astype(np.float32).astype(np.float64)
    invalid = int(np.count_nonzero(column.state == 3))
    if invalid and invalid == len(column.state) - int(np.count_nonzero(column.state == 1)):
        raise Invalid.at(where, f"no value is {kind}", code="invalid_baseline")
    return column


def _derive(series: Series, column: Column, dtype: str, bins: int = BINS) -> Series:
    """``series`` with bins and counts from the baseline's own values."""
    found: dict[str, Any] = {}
    if series.type == "category":
        texts: Mapping[str, int] = column.texts or {}
        ranked = sorted(texts, key=lambda text: (-texts[text], text))
        if series.source == PREDICTION:
            # A classifier's classes are known; all of them are categories, seen or not.
            ranked = [*series.categories, *(t for t in ranked if t not in series.categories)]
        found["categories"] = tuple(ranked[:TOP_CATEGORIES])
        found["rare"] = tuple(ranked[TOP_CATEGORIES:MAX_CATEGORIES])
        found["closed"] = 0 < len(ranked) <= MAX_CATEGORIES
        found["novel"] = sum(1 for k in texts.values() if k == 1)
    elif series.type == "numeric" and column.numbers is not None:
        present = component(column.numbers[column.state == PRESENT], series.component)
        if len(present):
            found |= _bins(present, bins, dtype)
    return _counted(series.model_copy(update=found), column)


def _bins(present: NDArray[np.float64], bins: int, dtype: str) -> dict[str, Any]:
    low, high = float(present.min()), float(present.max())
    slack = _SLACK.get(dtype, 0.0)
    ends = np.count_nonzero(present == low), np.count_nonzero(present == high)
    return {
        "cuts": quantile_cuts(present, bins),
        "low": low - slack * abs(low),
        "high": high + slack * abs(high),
        "novel": sum(1 for k in ends if k == 1),
    }


def _counted(series: Series, column: Column) -> Series:
    counts = tuple(int(k) for k in count_series(series, column))
    return series.model_copy(update={"reference": counts})


def _from_histogram(series: Series, given: Mapping[str, Any], where: str, dtype: str) -> Series:
    """A baseline sent as counts: its own bins are the bins."""
    allowed = (
        {"edges", "counts", "missing"} if series.type == "numeric" else {"categories", "missing"}
    )
    if set(given) - allowed:
        raise Invalid.at(
            where,
            f"unknown field {min(set(given) - allowed)}; a {series.type} histogram has "
            + ", ".join(sorted(allowed)),
            code="invalid_baseline",
        )
    missing = _count(given.get("missing", 0), where + ".missing")
    tail = [missing, 0, 0]
    if series.type == "numeric":
        edges, counts = _edges(given, where)
        slack = _SLACK.get(dtype, 0.0)
        return series.model_copy(
            update={
                "cuts": tuple(edges[1:-1]),
                "low": edges[0] - slack * abs(edges[0]),
                "high": edges[-1] + slack * abs(edges[-1]),
                "novel": 2,
                "reference": (*counts, 0, 0, *tail),
            }
        )
    categories = given.get("categories")
    if not isinstance(categories, Mapping) or not categories:
        raise Invalid.at(where + ".categories", "must map texts to counts", code="invalid_baseline")
    texts: dict[str, int] = {}
    for text, k in categories.items():
        key = category_text(text)
        texts[key] = texts.get(key, 0) + _count(k, f"{where}.categories")
    if series.type == "boolean":
        if not set(texts) <= {"true", "false"}:
            raise Invalid.at(
                where + ".categories", "a boolean has true and false", code="invalid_baseline"
            )
        return series.model_copy(
            update={"reference": (texts.get("false", 0), texts.get("true", 0), *tail)}
        )
    ranked = sorted(texts, key=lambda text: (-texts[text], text))
    if series.source == PREDICTION:
        ranked = [*series.categories, *(t for t in ranked if t not in series.categories)]
    top, rest = ranked[:TOP_CATEGORIES], ranked[TOP_CATEGORIES:]
    return series.model_copy(
        update={
            "categories": tuple(top),
            "rare": tuple(rest[: MAX_CATEGORIES - len(top)]),
            "closed": len(ranked) <= MAX_CATEGORIES,
            "novel": sum(1 for k in texts.values() if k == 1),
            "reference": (
                *(texts.get(text, 0) for text in top),
                sum(texts.get(text, 0) for text in rest),
                0,
                *tail,
            ),
        }
    )


def _edges(given: Mapping[str, Any], where: str) -> tuple[list[float], list[int]]:
    edges, counts = given.get("edges"), given.get("counts")
    if not isinstance(edges, Sequence) or not isinstance(counts, Sequence):
        raise Invalid.at(where, "needs edges and counts", code="invalid_baseline")
    if not 1 <= len(counts) <= _MAX_BINS or len(edges) != len(counts) + 1:
        raise Invalid.at(
            where, f"needs 1 to {_MAX_BINS} counts and one edge more", code="invalid_baseline"
        )
    numbers: list[float] = []
    for edge in edges:
        if isinstance(edge, bool) or not isinstance(edge, int | float) or not np.isfinite(edge):
            raise Invalid.at(where + ".edges", "must be finite numbers", code="invalid_baseline")
        numbers.append(float(edge))
    if any(a >= b for a, b in pairwise(numbers)):
        raise Invalid.at(where + ".edges", "must increase", code="invalid_baseline")
    return numbers, [_count(k, where + ".counts") for k in counts]


def _count(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise Invalid.at(where, "must be a whole number, not negative", code="invalid_baseline")
    return value
