"""What the terminal says of the event sources: each change once."""

from __future__ import annotations

import pytest

from neuralstream_local.news import SourceNews

NAME = "the stream of F"


def report(*, ok=True, failures=0, error=None, name=NAME):
    return {"kind": "stream", "name": name, "ok": ok, "failures": failures, "error": error}


@pytest.fixture
def news():
    return SourceNews()


def test_what_is_well_is_not_told(news):
    assert [news.of([report()]) for _ in range(3)] == [[]] * 3


def test_a_failure_is_told_once_while_it_lasts_and_so_is_its_end(news):
    failing = [report(ok=False, failures=n, error="E: no") for n in (1, 2, 3)]
    said = [news.of([each]) for each in [*failing, report(failures=3), report(failures=3)]]
    assert said == [
        [f"{NAME} failed and was started again: E: no"],
        [],
        [],
        [f"{NAME} is well again"],
        [],
    ]


def test_a_failure_that_was_over_between_two_looks_is_told_all_the_same(news):
    news.of([report()])
    assert news.of([report(failures=1, error="E: no")]) == [
        f"{NAME} failed and was started again: E: no"
    ]


def test_a_source_that_stands_still_is_told_with_its_reason(news):
    stuck = report(ok=False, error="its function has not returned within its 30 s")
    assert news.of([report(), stuck | {"name": "another"}]) == [
        "another stands still: its function has not returned within its 30 s"
    ]
    assert news.of([report(), report(name="another")]) == ["another is well again"]


def test_one_missing_answer_is_a_busy_machine_and_three_are_silence(news):
    assert [news.of(None), news.of(None), news.of([report()])] == [[], [], []]
    said = [news.of(None) for _ in range(5)]
    assert said == [[], [], ["the worker does not answer"], [], []]
    assert news.of([report()]) == ["the worker answers again"]


def test_another_worker_begins_anew(news):
    news.of([report(ok=False, failures=4, error="E: no")])
    news.forget()
    assert news.of([report()]) == []
    assert news.of([report(failures=1, error="E: no")]) == [
        f"{NAME} failed and was started again: E: no"
    ]
