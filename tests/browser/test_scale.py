"""More feature views and versions than a page holds: paged, found, and never asked for all at once.

What is asked for and drawn does not depend on how many there are; `benchmarks/console.py` has 10,000 views
and 1,000 versions.
"""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from tests.support.churn import make_model, make_view
from tests.support.many import many_versions, many_views

VIEWS = 1_000
VERSIONS = 200
MOST_ROWS = 100
"""Entries of the largest page, and rows of the longest table."""


@pytest.fixture(scope="module")
def large(laptop):
    make_view(laptop, "large")
    make_model(laptop, "large_model")
    with (
        many_views(laptop, "large", VIEWS) as names,
        many_versions(laptop, "large_model", VERSIONS),
    ):
        yield names


@pytest.fixture
def tab(opened, laptop):
    """A tab; no request of it asks for more than a page."""
    console = opened(laptop)
    asked: list[str] = []
    console.page.on("request", lambda request: asked.append(request.url))
    yield console
    limits = [parse_qs(urlsplit(url).query).get("limit", ["0"])[0] for url in asked]
    assert max(map(int, limits)) <= 2 * MOST_ROWS
    assert len(asked) == len(limits) < 100


def names_of(console, label, column):
    rows = [row[column].text for row in console.table(label)]
    assert len(rows) <= MOST_ROWS
    return rows


def test_many_views_are_paged_and_found_by_name(large, tab):
    page = tab.go("#/views", "Feature views")
    pager = page.get_by_role("navigation", name="Pages of Feature views")
    first = names_of(tab, "Feature views", "Name")
    pager.get_by_role("button", name="Next").click()
    expect(pager).to_contain_text("Page 2")
    tab.settled()
    second = names_of(tab, "Feature views", "Name")
    assert sorted({*first, *second}) == first + second  # the next ones by name

    begin = large[-1][:-3]
    page.get_by_label("Name begins with").fill(begin)
    expect(page.get_by_role("link", name=large[-1])).to_be_visible()
    tab.settled()
    assert names_of(tab, "Feature views", "Name") == [n for n in large if n.startswith(begin)]
    page.get_by_label("Name begins with").fill("no such view")
    expect(page.get_by_text("Nothing is found.")).to_be_visible()

    page = tab.go("#/", "Overview")
    expect(page.locator(".tile", has_text="feature views")).to_contain_text("100+")


@pytest.mark.usefixtures("large")
def test_many_versions_are_paged_found_compared_and_given_traffic(tab):
    page = tab.go("#/models/large_model", "large_model")
    newest = [f"v{number}" for number in range(VERSIONS, VERSIONS - 50, -1)]
    assert names_of(tab, "Versions", "Version") == newest
    assert names_of(tab, "What happened", "Version")[0] == f"v{VERSIONS}"
    page.get_by_role("button", name="Older").click()
    expect(page.get_by_label(f"Compare v{VERSIONS - 50}")).to_be_visible()

    page.get_by_label("Find a version").fill("v117")
    page.get_by_label("Find a version").press("Enter")
    page.get_by_label("Compare v117").check()
    compared = page.get_by_role("region", name="Side by side")
    expect(compared.get_by_role("columnheader", name="v117")).to_be_visible()
    page.get_by_role("button", name="Split", exact=True).click()
    expect(page.get_by_role("dialog").get_by_role("slider")).to_have_count(1)

    tab.go("#/lineage/large_model", "Lineage of large_model")
    graph = page.get_by_role("region", name="Graph of the lineage")
    expect(graph.get_by_role("link", name=f"large_model@v{VERSIONS}")).to_be_visible()
    assert graph.get_by_role("link").count() <= MOST_ROWS
