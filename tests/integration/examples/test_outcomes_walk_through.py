"""The README's walk-through of outcomes: a mistake that only they show is undone by the guard."""

from __future__ import annotations

import json
import re

import pytest

from examples.flights.load import MODEL, Client
from examples.flights.outcomes import ending, walk_through
from neuralstream_local.laptop import STACK
from tests.support.documents import blocks
from tests.support.stack import laptop_stack


@pytest.fixture(scope="module")
def told():
    """What the walk-through says while it goes on."""
    return []


@pytest.fixture(scope="module")
def stack():
    """A stack of this module's own: it counts every prediction of the example's model."""
    with laptop_stack() as running:
        yield running


@pytest.fixture(scope="module")
def story(stack, told):
    """The walk-through, with the schedules' tasks run at once instead of when they are due."""

    def at_once(_seconds):
        for task in ("drain", "evaluate"):
            answer = stack.client("lambda").invoke(
                FunctionName=f"{STACK}-outcomes-scheduled", Payload=json.dumps({"task": task})
            )
            assert "FunctionError" not in answer, answer["Payload"].read()

    return walk_through(stack.url, flights=200, wait=at_once, tell=told.append)


def test_the_mistaken_version_is_rolled_back_with_the_reason_in_the_trail(story):
    assert story.production == story.good
    assert story.event["actor"] == "neuralstream-guard"
    assert story.event["data"]["replaced"] == story.mistaken
    assert "accuracy" in story.event["reason"]


def test_only_the_outcomes_show_the_mistake(story):
    good, mistaken = (story.performance[v] for v in (story.good, story.mistaken))
    assert good["coverage"] == mistaken["coverage"] == 1.0
    assert mistaken["n"] == 200
    assert good["metrics"]["accuracy"]["low"] > 0.7
    assert mistaken["metrics"]["accuracy"]["high"] < 0.5
    assert mistaken["metrics"]["ece"]["low"] > good["metrics"]["ece"]["high"]


def test_the_readme_shows_what_is_printed(story, told):
    (shown,) = [text for text in blocks("README.md", "text") if "is promoted" in text]
    printed = "\n".join([*told, *ending(story)])
    assert re.sub(r"[\d.,]+", "0", shown.strip()) == re.sub(r"[\d.,]+", "0", printed)


def test_after_an_interrupted_walk_through_the_next_begins_again(story, stack):
    class InterruptedWalk(Exception):
        pass

    def interrupt(_seconds):
        raise InterruptedWalk

    with Client(stack.url) as api:
        for _ in range(2):
            with pytest.raises(InterruptedWalk):
                walk_through(stack.url, flights=2, wait=interrupt)
            model = api.call("GET", f"/models/{MODEL}")
            assert model["production_version"] == story.mistaken
        again = {"reason": "the test ends"}
        assert api.call("POST", f"/models/{MODEL}/rollback", again)["production_version"] == (
            story.good
        )
