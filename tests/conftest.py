"""Fixtures of every test, and how Hypothesis and the garbage collector run in all of them."""

import gc
import os

import pytest
from hypothesis import settings

# No deadline: how long an example takes says how busy the machine is, not whether the code is right.
# No database: a failure is reproduced by the blob it prints, not by a file that one machine happens to have.
# In CI the examples are always the same, so that a red run is due to the change it tests; everywhere else
# they are new each time, which is how such tests find what nobody thought of.
settings.register_profile(
    "neuralstream",
    deadline=None,
    database=None,
    print_blob=True,
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("neuralstream")

pytest_plugins = [
    "tests.support.redis",
    "tests.support.aws",
    "tests.support.stack",
    "tests.support.examples",
    "tests.support.jobs",
    "tests.support.backfilling",
    "tests.support.outside",
]


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """The garbage collector would look at the same modules and tests again and again: while they are made,
    which is a third of the time that takes, and after every few tests.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()
