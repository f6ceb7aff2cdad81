"""Fixtures: a Chromium, the stack with the flights, and tabs that are watched."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.chromium import Console, NoChromium, find_chromium, open_console
from tests.support.flown import day_of_work
from tests.support.stack import RunningStack, laptop_stack

PICTURES = Path(__file__).parents[2] / "docs" / "images"
MOST_PICTURE_BYTES = 180_000


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
def laptop() -> Iterator[RunningStack]:
    """The stack with the flights."""
    with laptop_stack() as running:
        yield running


@pytest.fixture(scope="session")
def watched(laptop: RunningStack) -> RunningStack:
    """The stack with the flights after a day's work: predictions that drift, and outcomes of others."""
    day_of_work(laptop)
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


@contextmanager
def registry_gone(stack: RunningStack) -> Iterator[None]:
    """The emulated DynamoDB does not answer inside, and is there again with its data after."""
    os.kill(stack.running.aws.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(stack.running.aws.pid, signal.SIGCONT)


@pytest.fixture
def without_registry() -> Callable[[RunningStack], object]:
    return registry_gone


@pytest.fixture
def without_redis() -> Callable[[RunningStack], object]:
    return redis_gone
