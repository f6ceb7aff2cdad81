"""What inference and trials may take against the time and memory that template.yaml gives their functions."""

from __future__ import annotations

from neuralstream_core.serving.inference import (
    CACHE,
    LOAD_SECONDS,
    REGISTRATION_LOAD_SECONDS,
    RUN,
    Limits,
)
from neuralstream_core.trial import process
from tests.support.template import functions

MIB = 1024 * 1024
PROCESS = 220 * MIB
"""What Python, the libraries and a request take of a function that predicts."""


def seconds(function: str) -> int:
    return int(functions()[function]["Timeout"])


def memory(function: str) -> int:
    return int(functions()[function]["MemorySize"]) * MIB


def test_a_first_request_that_loads_a_model_and_times_out_is_answered_in_time() -> None:
    limits = Limits()
    assert LOAD_SECONDS + max(limits.one, limits.tensors) < seconds("Predict")
    assert LOAD_SECONDS + limits.rows < seconds("BatchPredict")
    assert LOAD_SECONDS + limits.job < seconds("BatchTask")


def test_what_registration_lets_load_serving_loads() -> None:
    assert REGISTRATION_LOAD_SECONDS < LOAD_SECONDS
    assert seconds("Registry") > process.SECONDS


def test_the_loaded_models_and_one_run_fit_the_functions_that_predict() -> None:
    for function in ("Predict", "BatchPredict", "BatchTask"):
        assert memory(function) > PROCESS + CACHE + RUN


def test_a_trial_and_the_process_that_started_it_fit_the_registry_function() -> None:
    largest_artifact, own = 256 * MIB, 130 * MIB
    taken = own + largest_artifact + process.CHILD + process.RESERVE
    assert taken + process.MEMORY <= memory("Registry")
