"""Entries of the prediction log: the short way of one prediction says what the long one says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from neuralstream_core.outcomes.log import LoggedRows, packed, packed_one

LABELS = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text()


@given(
    LABELS,
    st.none() | st.floats(0, 1),
    st.none() | st.text(min_size=1),
    st.sampled_from([1.0, 4.0, 1 / 3]),
)
def test_one_prediction_is_logged_as_among_others(
    label: object, probability: float | None, entity: str | None, weight: float
) -> None:
    (short,) = packed_one("m:v1:x", label, probability, entity, weight)
    rows = LoggedRows(
        "m:v1:x",
        None,
        [label],
        None if probability is None else [probability],
        entities=None if entity is None else [entity],
        weight=weight,
    )
    (long,) = packed(rows)
    assert repr(from_json(short.data)) == repr(from_json(long.data))
    assert short.rows == long.rows == 1


@pytest.mark.parametrize("label", [np.int64(3), np.float32(0.5), np.bool_(True), np.str_("a")])
def test_a_label_of_numpy_is_logged_as_its_value(label: np.generic) -> None:
    (entry,) = packed_one("m:v1:x", label, None, None)
    assert from_json(entry.data)["p"] == [label.item()]
