"""Every page: nothing that axe finds, nothing wider than a small telephone, light and dark."""

from __future__ import annotations

from itertools import product

import pytest

from examples.flights.load import MODEL, WEATHER_MODEL
from tests.support.chromium import NARROW, WIDE, open_console

ROUTES = [
    "#/",
    "#/views",
    "#/views/weather?entity=EWR",
    "#/models",
    f"#/models/{MODEL}",
    "#/predict",
    f"#/predict/{MODEL}",
    "#/serving",
    f"#/serving/{MODEL}",
    "#/drift",
    f"#/drift/{WEATHER_MODEL}/v2",
    "#/outcomes",
    f"#/outcomes/{MODEL}",
    "#/jobs",
    f"#/lineage/{MODEL}",
    "#/keys",
    "#/no-such-page",
]


@pytest.fixture(scope="module")
def watching(browser, watched):
    with open_console(browser, watched.url) as console:
        yield console
        assert console.unexpected() == []


LOOKS = list(product((WIDE, NARROW), ("light", "dark")))


@pytest.mark.parametrize("route", ROUTES)
def test_a_page_is_accessible_and_fits(watching, route):
    """Loaded once and looked at in four ways."""
    watching.go(route)
    found = {}
    for size, scheme in LOOKS:
        watching.look(size, scheme)
        found[size, scheme] = watching.violations()
        if wider := watching.overflow():
            found[size, scheme].append(f"too wide by {wider} px")
    assert found == {look: [] for look in LOOKS}


def test_a_page_can_be_used_by_the_keyboard_alone(opened, watched):
    console = opened(watched)
    page = console.go("#/serving", "Serving")
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.textContent")
        if focused == MODEL:
            break
    page.keyboard.press("Enter")
    page.get_by_role("heading", level=1, name=f"Serving of {MODEL}").wait_for()
