"""The README's drift walk-through: July is not January, and half of January is."""

import pytest

from examples.flights.drift import walk_through


@pytest.fixture(scope="module")
def reports(stack, flights):
    """Both months replayed through the API of a stack with the example loaded."""
    assert flights["versions"] == 3
    return walk_through(stack.url)


def series(report):
    return {one["feature"]: one for one in report["series"]}


def test_julys_temperature_has_drifted_from_january(reports):
    temperature = series(reports["july"])["weather:temp"]
    assert temperature["status"] == "drift"
    assert temperature["psi"] > 1
    assert reports["july"]["status"] == "drift"


def test_a_shuffled_half_of_january_has_not(reports):
    assert series(reports["january"])["weather:temp"]["status"] == "ok"
    assert reports["january"]["status"] == "ok"
