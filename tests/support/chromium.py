"""A real Chromium that watches what a page does: errors, requests that leave the origin, accessibility."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["NARROW", "WIDE", "Cell", "Console", "NoChromium", "find_chromium", "open_console"]

_AXE: Final = Path(__file__).parents[1] / "browser" / "vendor" / "axe.min.js"
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
WIDE: Final = (1280, 800)
NARROW: Final = (360, 740)
"""Width and height in CSS pixels: a desk, and a small telephone."""


class NoChromium(RuntimeError):
    """There is no Chromium to test with; the message says what to install."""


def find_chromium() -> str:
    """The path of the environment's ``CHROMIUM``, else of the first Chromium on PATH.

    Raises:
        NoChromium: there is none.
    """
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        raise NoChromium(
            "no Chromium was found: install one (apt-get install chromium), "
            "or set CHROMIUM to the path of one"
        )
    return found


@cache
def _axe() -> str:
    return _AXE.read_text()


class Cell(NamedTuple):
    """A cell of a table.

    Attributes:
        text: as it is shown.
        titles: what is shown on hover, in the order of the document: exact values.
    """

    text: str
    titles: list[str]

    @property
    def exact(self) -> float:
        """The number behind what is shown."""
        return float(self.titles[0])


@dataclass
class Console:
    """One tab with the console, and what was seen in it.

    Attributes:
        page: Playwright's.
        origin: scheme, host and port of the stack.
        errors: uncaught exceptions and what was written to the browser's console as an error.
        elsewhere: URLs of requests to any other origin.
        tolerates: parts of errors that the test means to see (a request that fails logs one).
    """

    page: Page
    origin: str
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    tolerates: list[str] = field(default_factory=list)

    def go(self, route: str = "#/", heading: str | None = None) -> Page:
        """Open a page of the console by its route, and wait for its heading and its data.

        Args:
            route: with the leading ``#``.
            heading: of level 1 that the page must show; ``None``: any.
        """
        self.page.goto(f"{self.origin}/console{route}")
        shown = self.page.get_by_role("heading", level=1, name=heading)
        shown.first.wait_for()
        self.settled()
        return self.page

    def settled(self) -> None:
        """Wait until nothing on the page says that it is still being loaded."""
        from playwright.sync_api import expect

        # Not by a script that polls in the page: its policy forbids to evaluate text.
        expect(self.page.get_by_text("Loading…")).to_have_count(0, timeout=30_000)

    def table(self, label: str) -> list[dict[str, Cell]]:
        """The rows of the table that is called ``label``, each cell by its column's heading."""
        found: Any = self.page.get_by_role("region", name=label, exact=True).evaluate(
            """region => {
                const names = [...region.querySelectorAll("thead th")].map(th => th.innerText);
                return [...region.querySelectorAll("tbody tr")].map(row => [...row.children].map(
                    (cell, place) => [names[place], cell.innerText,
                        [...cell.querySelectorAll("[title]")].map(each => each.title)]));
            }"""
        )
        return [{name: Cell(text, titles) for name, text, titles in row} for row in found]

    def look(self, size: tuple[int, int], scheme: str) -> None:
        """Give the window this size in CSS pixels, and the colours of ``light`` or ``dark``."""
        self.page.set_viewport_size({"width": size[0], "height": size[1]})
        self.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]

    def violations(self) -> list[str]:
        """What axe finds, a line for each rule and element."""
        if not self.page.evaluate("typeof window.axe === 'object'"):
            self.page.evaluate(_axe())
        found: Any = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{rule['id']}: {rule['help']}: {node['html'][:200]} {node['failureSummary']}"
            for rule in found["violations"]
            for node in rule["nodes"]
        ]

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        wider: int = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return wider

    def unexpected(self) -> list[str]:
        """The errors that no test means to see."""
        return [said for said in self.errors if not any(part in said for part in self.tolerates)]


@contextmanager
def open_console(
    browser: Browser, url: str, *, size: tuple[int, int] = WIDE, scheme: str = "light"
) -> Iterator[Console]:
    """A tab in a profile of its own.

    Args:
        url: of the stack.
        size: of the window, width and height in CSS pixels.
        scheme: ``light`` or ``dark``.
    """
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,  # type: ignore[arg-type]
        reduced_motion="reduce",
        locale="en-US",
        timezone_id="UTC",
    )
    context.set_default_timeout(30_000)
    page = context.new_page()
    parts = urlsplit(url)
    console = Console(page, f"{parts.scheme}://{parts.netloc}")

    def seen(request: Any) -> None:
        if request.url.startswith(("data:", "blob:")):
            return
        if not request.url.startswith(f"{console.origin}/"):
            console.elsewhere.append(request.url)

    page.on("request", seen)
    page.on("pageerror", lambda error: console.errors.append(f"uncaught: {error}"))
    page.on(
        "console",
        lambda said: console.errors.append(said.text) if said.type == "error" else None,
    )
    try:
        yield console
    finally:
        context.close()
