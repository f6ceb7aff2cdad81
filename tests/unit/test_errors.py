"""Designed errors."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from neuralstream_core.errors import Conflict, Invalid, NeuralStreamError, Unavailable

ERRORS = (
    Unavailable("the feature cache cannot be reached", dependency="redis", retry_after=7),
    Invalid.at("rows.3.features.age", "must be a number", code="bad_value"),
    Conflict("view users exists"),
)


def failing(number: int) -> None:
    raise ERRORS[number]


def test_an_error_of_another_process_is_the_one_that_was_raised_there() -> None:
    with ProcessPoolExecutor(1, get_context("fork")) as pool:
        for number, raised in enumerate(ERRORS):
            with pytest.raises(NeuralStreamError) as caught:
                pool.submit(failing, number).result()
            assert type(caught.value) is type(raised)
            assert (vars(caught.value), str(caught.value)) == (vars(raised), str(raised))
