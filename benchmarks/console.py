"""The first view of every page of the console: from the start of the navigation to its data.

    make -C benchmarks console
    python -m benchmarks.console [--rounds 7] [--pages drift,models] [--quick] [--trace]

A headless Chromium opens each page in turn in a profile of its own: nothing is cached, the stack is warm.
What is timed, by the browser's own clock, ends with the frame in which the page's data is drawn and no part
of it still says that it is being loaded. The limit is a file of the same function: one request, no script,
no data. `--trace` prints when each request of a page began and ended.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from benchmarks._harness import Group, Report

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.support.stack import RunningStack

LIMIT: Final = "one small file"
SECONDS: Final = 1.0
"""Within which every page is to show its data."""
VIEWS: Final = 10_000
VERSIONS: Final = 1_000


class Page(NamedTuple):
    """A page of the console.

    Attributes:
        route: below ``/console``.
        shows: a CSS selector of what is there once its data is.
    """

    route: str
    shows: str


def table(label: str) -> str:
    return f'[aria-label="{label}"] td'


PAGES: Final = {
    "overview": Page("#/", table("Models")),
    "feature views": Page("#/views", table("Feature views")),
    "a feature view, an entity": Page("#/views/weather?entity=EWR", table("Features of EWR")),
    "models": Page("#/models", table("Models")),
    "a model": Page("#/models/flight_delay", table("What happened")),
    "serving": Page("#/serving/flight_delay", table("Versions")),
    "drift": Page("#/drift/weather_delay/v2", table("Drift hour by hour")),
    "outcomes": Page("#/outcomes/flight_delay", table("Measures of v1")),
    "jobs": Page("#/jobs", "main .empty"),
    "lineage": Page("#/lineage/flight_delay", "svg.graph rect"),
    "predict": Page("#/predict/flight_delay", "main form input"),
    "keys": Page("#/keys", "main .empty"),
}
LARGE: Final = {
    "overview": Page("#/", table("Models")),
    "feature views": Page("#/views", table("Feature views")),
    "models": Page("#/models", table("Models")),
    "a model": Page("#/models/large_model", table("Versions")),
    "its lineage": Page("#/lineage/large_model", "svg.graph rect"),
}

# Playwright runs it in the page, as no script of the page itself could be: its policy forbids inline ones.
_WATCH: Final = """
window.watch = (shows) => {
  const look = () => {
    if (document.querySelector(shows) && !document.querySelector('main [aria-busy="true"]')) {
      requestAnimationFrame(() => { window.shownAt = performance.now(); });
      observer.disconnect();
    }
  };
  const observer = new MutationObserver(look);
  observer.observe(document, { childList: true, subtree: true, attributes: true });
  look();
};
"""


@dataclass
class Seen:
    """What one load took.

    Attributes:
        seconds: from the start of the navigation.
        requests: name, start and end in ms of each, in the order of their starts.
        received: bytes of all answers as they were sent, headers included.
    """

    seconds: float
    requests: list[tuple[str, float, float]] = field(default_factory=list)
    received: int = 0


def load(browser: Browser, url: str, page: Page) -> Seen:
    """Open ``page`` in a new profile and wait until it shows its data."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    try:
        tab = context.new_page()
        tab.add_init_script(f"{_WATCH}window.watch({page.shows!r});")
        tab.goto(f"{url}{page.route}", wait_until="commit")
        deadline = 600
        while (shown := tab.evaluate("window.shownAt ?? null")) is None:
            deadline -= 1
            if not deadline:
                raise RuntimeError(f"{page.route} does not show {page.shows}")
            tab.wait_for_timeout(100)
        entries: Any = tab.evaluate(
            """() => ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind))
                .map((each) => [each.name, each.startTime, each.responseEnd, each.transferSize])"""
        )
        made = [entry for entry in entries if entry[1] <= shown]
        requests = sorted(
            ((name, start, end) for name, start, end, _ in made), key=lambda one: one[1]
        )
        return Seen(shown / 1000, requests, sum(size for *_, size in made))
    finally:
        context.close()


def measure(browser: Browser, url: str, title: str, pages: dict[str, Page], rounds: int) -> Group:
    """Every page and the limit, in turn, in changing order."""
    cases = {LIMIT: Page("/icon.svg", "svg"), **pages}
    group = Group(title, limit=LIMIT, samples={name: [] for name in cases})
    draw, names = random.Random(7), list(cases)
    kinds: dict[str, Seen] = {}
    for number in range(-1, rounds):  # the first round warms the functions
        draw.shuffle(names)
        for name in names:
            seen = load(browser, f"{url}/console", cases[name])
            if number >= 0:
                group.samples[name].append(seen.seconds)
                kinds[name] = seen
    for name in cases:
        seen = kinds[name]
        group.notes[name] = f"{len(seen.requests)} requests, {seen.received / 1024:,.0f} KB"
    slowest = max(pages, key=lambda name: median(group.samples[name]))
    took = median(group.samples[slowest])
    holds = "holds" if took <= SECONDS else "does not hold"
    group.notes[f"first view within {SECONDS:g} s"] = (
        f"{holds}; the slowest page is {slowest}, {took:.2f} s"
    )
    return group


def trace(browser: Browser, url: str, pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        load(browser, f"{url}/console", page)
        seen = load(browser, f"{url}/console", page)
        print(f"{name}: {seen.seconds * 1000:.0f} ms, {seen.received / 1024:.0f} KB")
        for request, start, end in seen.requests:
            print(f"  {start:6.0f} to {end:6.0f}  {request.removeprefix(url)}")


@contextmanager
def stack() -> Iterator[RunningStack]:
    """A laptop stack with the flights after a day's work."""
    from examples.flights.load import load as load_example
    from examples.flights.load import put_job_inputs
    from neuralstream_local.stack import Stack
    from tests.support.flown import day_of_work
    from tests.support.stack import RunningStack

    with Stack() as running:
        load_example(running.url)
        put_job_inputs(running.aws_endpoint)
        made = RunningStack(running)
        day_of_work(made)
        yield made


@contextmanager
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    from tests.support.chromium import find_chromium

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pages", help="names of some pages, separated by commas")
    parser.add_argument("--quick", action="store_true", help="one round, nothing saved")
    parser.add_argument(
        "--trace", action="store_true", help="only when each request began and ended"
    )
    options = parser.parse_args(given)
    pages = {
        name: page
        for name, page in PAGES.items()
        if options.pages is None or name in options.pages.split(",")
    }
    rounds = 1 if options.quick else options.rounds
    from tests.support.churn import make_model, make_view
    from tests.support.many import many_versions, many_views

    report = Report(
        "console",
        "First view of each page of the console in a headless Chromium, with an empty cache, on a warm "
        "laptop stack with the flights example: from the start of the navigation to the frame with the "
        "page's data. The limit is one file of the same function.",
    )
    with stack() as running, chromium() as browser:
        if options.trace:
            trace(browser, running.url, pages)
            return 0
        report.add(measure(browser, running.url, "first view of a page", pages, rounds))
        make_view(running, "large")
        make_model(running, "large_model")
        with many_views(running, "large", VIEWS), many_versions(running, "large_model", VERSIONS):
            title = f"first view with {VIEWS:,} feature views and {VERSIONS:,} versions of a model"
            report.add(measure(browser, running.url, title, LARGE, rounds))
    return report.save(quick=options.quick)


if __name__ == "__main__":
    raise SystemExit(main())
