"""Fixtures: the examples, loaded into the running stack."""

import pytest

from examples.flights.load import load


@pytest.fixture(scope="session")
def flights(stack):
    """The flights example, loaded as `make run` does; how many views, rows and versions."""
    return load(stack.url)
