"""The API's own page works in a real browser, without any other server."""

from __future__ import annotations

from tests.support.chromium import Console


def test_the_documentation_of_the_api_shows_its_routes(console: Console):
    console.page.goto(f"{console.origin}/docs")
    console.page.get_by_text("/features/write", exact=True).first.wait_for()
