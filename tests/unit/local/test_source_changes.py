"""What the terminal says of the event sources: each change once."""

from __future__ import annotations

import pytest

from neuralstream_local.health import SourceChanges

NAME = "the stream of F"


def report(*, ok=True, failures=0, error=None, name=NAME):
    return {"kind": "stream", "name": name, "ok": ok, "failures": failures, "error": error}


@pytest.fixture
def changes():
    return SourceChanges()


def test_what_is_well_is_not_told(changes):
    assert [changes.of([report()]) for _ in range(3)] == [[]] * 3


def test_a_failure_is_told_once_while_it_lasts_and_so_is_its_end(changes):
    failing = [report(ok=False, failures=n, error="E: no") for n in (1, 2, 3)]
    said = [changes.of([each]) for each in [*failing, report(failures=3), report(failures=3)]]
    assert said == [
        [f"{NAME} failed and was started again: E: no"],
        [],
        [],
        [f"{NAME} is well again"],
        [],
    ]


def test_a_failure_that_was_over_between_two_looks_is_told_all_the_same(changes):
    changes.of([report()])
    assert changes.of([report(failures=1, error="E: no")]) == [
        f"{NAME} failed and was started again: E: no"
    ]


def test_a_source_that_stands_still_is_told_with_its_reason(changes):
    stuck = report(ok=False, error="its function has not returned within its 30 s")
    assert changes.of([report(), stuck | {"name": "another"}]) == [
        "another stands still: its function has not returned within its 30 s"
    ]
    assert changes.of([report(), report(name="another")]) == ["another is well again"]


def test_one_missing_answer_is_a_busy_machine_and_three_are_silence(changes):
    assert [changes.of(None), changes.of(None), changes.of([report()])] == [[], [], []]
    said = [changes.of(None) for _ in range(5)]
    assert said == [[], [], ["the worker does not answer"], [], []]
    assert changes.of([report()]) == ["the worker answers again"]
