"""Fixtures: a Chromium, the stack with the flights, and tabs that are watched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from examples.flights import drift
from examples.flights.load import Client, held_out
from examples.flights.outcomes import fly
from neuralstream_local.laptop import STACK
from tests.support.chromium import Console, NoChromium, find_chromium, open_console
from tests.support.poll import eventually
from tests.support.stack import RunningStack

PICTURES = Path(__file__).parents[2] / "docs" / "images"
MOST_PICTURE_BYTES = 150_000
FLOWN = 150
"""Flights that were predicted, and that have landed."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", action="store_true", help="write docs/images/*.png")


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    try:
        path = find_chromium()
    except NoChromium as error:
        pytest.exit(str(error), returncode=1)
    with sync_playwright() as playwright:
        # No sandbox: containers, where CI and many people run this, have no user namespaces.
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def opened(browser) -> Iterator[Callable[..., Console]]:
    """Opens tabs; the test fails when one wrote an error, or asked any other origin for anything."""
    with ExitStack() as tabs:
        consoles: list[Console] = []

        def open_one(stack: RunningStack, **how) -> Console:
            consoles.append(tabs.enter_context(open_console(browser, stack.url, **how)))
            return consoles[-1]

        yield open_one
        for console in consoles:
            assert console.unexpected() == []
            assert console.elsewhere == []


@pytest.fixture(scope="session")
def watched(laptop: RunningStack) -> RunningStack:
    """The stack with the flights after a day's work: predictions that drift, and outcomes of others."""
    drift.walk_through(laptop.url)
    with Client(laptop.url) as api:
        fly(api, "v1", held_out()[:FLOWN])
    reply = laptop.client("lambda").invoke(
        FunctionName=f"{STACK}-outcomes-scheduled", Payload=json.dumps({"task": "drain"})
    )
    assert "FunctionError" not in reply, reply["Payload"].read()

    def measured() -> bool:
        answer = laptop.request("GET", "/monitoring/performance?model=flight_delay&window=24h")
        return [each["n"] for each in answer.json()["versions"]] == [FLOWN]

    assert eventually(measured, seconds=60, every=0.5)
    return laptop


@pytest.fixture
def console(opened, laptop: RunningStack) -> Console:
    """A tab of the stack with the flights."""
    return opened(laptop)


@pytest.fixture
def picture(request: pytest.FixtureRequest) -> Callable[[Console, str], None]:
    """Writes what the tab shows to ``docs/images/<name>.png`` when the run has ``--pictures``."""

    def take(console: Console, name: str) -> None:
        if not request.config.getoption("--pictures"):
            return
        PICTURES.mkdir(exist_ok=True)
        path = PICTURES / f"{name}.png"
        console.page.screenshot(path=path)
        assert path.stat().st_size <= MOST_PICTURE_BYTES, f"{path.name} is too large"

    return take


@contextmanager
def redis_gone(stack: RunningStack) -> Iterator[None]:
    """The feature cache does not answer inside, and is there again with its data after."""
    stack.running.redis.pause()
    try:
        yield
    finally:
        stack.running.redis.resume()


@pytest.fixture
def without_redis() -> Callable[[RunningStack], object]:
    return redis_gone
