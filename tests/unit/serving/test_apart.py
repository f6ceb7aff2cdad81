"""Many rows with some that fail: the others are answered as if these had not been there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralstream_core.errors import Invalid
from neuralstream_core.runtimes import Bounds, Predictions, load
from neuralstream_core.serving.inference import Deadline, ending_in, infer_apart
from tests.support import hostile


@settings(deadline=None)
@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))))
def test_exactly_the_rows_that_fail_alone_fail_and_the_others_keep_their_order(
    case: tuple[int, set[int]],
) -> None:
    n, bad = case

    def run(inputs: Mapping[str, np.ndarray], _seconds: float) -> Predictions:
        rows = inputs["x"]
        if bad & set(rows.tolist()):
            raise Invalid("as asked", code="inference_memory")
        return Predictions(rows * 2, np.stack([rows, rows], axis=1))

    predictions, failed = infer_apart(run, {"x": np.arange(n)}, Deadline.begin(60))
    good = [row for row in range(n) if row not in bad]
    assert set(failed) == bad
    assert {error.code for error in failed.values()} <= {"inference_memory"}
    if predictions is None:
        assert not good
    else:
        assert predictions.values.tolist() == [2 * row for row in good]
        assert predictions.scores is not None
        assert predictions.scores[:, 1].tolist() == good


def test_when_the_time_is_used_up_the_rest_says_so() -> None:
    def run(_inputs: Mapping[str, np.ndarray], _seconds: float) -> Predictions:
        raise Invalid("as asked", code="inference_failed")

    _, failed = infer_apart(run, {"x": np.arange(9)}, Deadline(5.0, at=0.0))
    assert set(failed) == set(range(9))
    assert {error.code for error in failed.values()} == {"inference_timeout"}


def test_a_model_whose_memory_grows_with_the_rows_is_served_in_parts_that_fit() -> None:
    runtime = load("onnx", hostile.allocates_per_row(4 * 2**20), Bounds(run_memory=64 * 2**20))
    rows = np.arange(128, dtype=np.float32).reshape(64, 2)
    predictions, failed = infer_apart(runtime.run, {"x": rows}, Deadline.begin(60))
    assert failed == {}
    assert predictions is not None
    assert predictions.values.tolist() == rows.sum(axis=1).tolist()


def test_no_deadline_is_later_than_the_end_of_the_invocation() -> None:
    with ending_in(3.0):
        inside = Deadline.begin(600.0)
        shorter = Deadline.begin(1.0)
    assert inside.seconds <= 3.0
    assert shorter.seconds == 1.0
    assert Deadline.begin(600.0).seconds == 600.0
