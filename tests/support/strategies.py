"""Hypothesis strategies: any schema, and rows that fit it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from neuralstream_core.features import Dtype, Feature, FeatureView

__all__ = ["DAY", "any_schema", "features", "rows_of", "value_of", "view_of"]

any_schema = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
"""Examples may take their time on a busy machine."""
DAY = datetime(2026, 1, 1, tzinfo=UTC)
_SCALARS = {
    Dtype.FLOAT64: st.floats(allow_nan=False, allow_infinity=False),
    Dtype.FLOAT32: st.floats(allow_nan=False, allow_infinity=False, width=32),
    Dtype.INT64: st.integers(-(2**63), 2**63 - 1),
    Dtype.BOOL: st.booleans(),
    Dtype.STRING: st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    Dtype.TIMESTAMP: st.datetimes(
        min_value=datetime(1, 1, 2),  # noqa: DTZ001 - the strategy adds the zone
        max_value=datetime(9999, 12, 30),  # noqa: DTZ001 - the strategy adds the zone
        timezones=st.just(UTC),
    ),
}


@st.composite
def features(draw: st.DrawFn, *, min_size: int = 1, max_size: int = 20) -> list[Feature]:
    """Between ``min_size`` and ``max_size`` features of any dtype, vectors included."""
    found: list[Feature] = []
    for i in range(draw(st.integers(min_size, max_size))):
        dtype = draw(st.sampled_from(Dtype))
        shape = draw(st.none() | st.integers(1, 3).map(lambda n: [n])) if dtype.numeric else None
        found.append(Feature(name=f"f{i}", dtype=dtype, shape=shape))
    return found


def value_of(feature: Feature) -> st.SearchStrategy[Any]:
    """A value that fits ``feature``, or ``None``."""
    scalar = _SCALARS[feature.dtype]
    if feature.size is None:
        return st.none() | scalar
    return st.none() | st.lists(scalar, min_size=feature.size, max_size=feature.size)


@st.composite
def rows_of(draw: st.DrawFn, chosen: list[Feature]) -> dict[str, Any]:
    """Values of at least one of ``chosen``."""
    some = draw(st.lists(st.sampled_from(chosen), min_size=1, unique_by=lambda f: f.name))
    if draw(st.booleans()):
        some = chosen
    return {feature.name: draw(value_of(feature)) for feature in some}


def view_of(
    chosen: list[Feature], *, schema_version: int = 1, ttl_seconds: int | None = None
) -> FeatureView:
    """A view of ``chosen``."""
    return FeatureView(
        name="view",
        keys=("id",),
        features=tuple(chosen),
        ttl_seconds=ttl_seconds,
        schema_version=schema_version,
        generation="generation0",
        created_at=DAY,
        updated_at=DAY,
    )
