"""Every page: nothing that axe finds, nothing wider than a small telephone, light and dark."""

from __future__ import annotations

import pytest

from examples.flights.load import MODEL, WEATHER_MODEL
from tests.support.chromium import NARROW, WIDE

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


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (NARROW, "dark")])
def test_a_page_is_accessible_and_fits(opened, watched, size, scheme):
    console = opened(watched, size=size, scheme=scheme)
    found = {}
    for route in ROUTES:
        console.go(route)
        if violations := console.violations():
            found[route] = violations
        if wider := console.overflow():
            found[f"{route} is too wide"] = [f"by {wider} px"]
    assert found == {}


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
