"""One id and many ids of a request are read by the same rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_core.errors import Invalid
from neuralstream_core.serving.entities import primaries, primary

VIEWS = {"users": ("user_id",), "pairs": ("a", "b")}
IDS = st.one_of(
    st.text(max_size=5),
    st.integers(-(2**70), 2**70),
    st.booleans(),
    st.floats(),
    st.none(),
    st.lists(st.one_of(st.text(max_size=3), st.integers(0, 9)), max_size=3),
    st.dictionaries(st.sampled_from(["a", "b", "user_id"]), st.text(max_size=3), max_size=3),
)


@given(st.lists(IDS, max_size=6), st.sampled_from([None, *VIEWS]))
def test_many_ids_are_read_as_each_of_them_is(ids, view):
    expected, refused = [], []
    for at, raw in enumerate(ids):
        try:
            expected.append(primary(raw, view, VIEWS.__getitem__))
        except Invalid:
            refused.append(f"entity_ids.{at}")
    if all(isinstance(raw, str) for raw in ids):
        assert primaries(ids, view, VIEWS.__getitem__) == ids  # checked where the keys are packed
        return
    if refused:
        with pytest.raises(Invalid) as raised:
            primaries(ids, view, VIEWS.__getitem__)
        assert [place.loc for place in raised.value.errors] == refused
    else:
        assert primaries(ids, view, VIEWS.__getitem__) == expected
