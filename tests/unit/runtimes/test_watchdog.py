"""Deadlines for native code: what is late is called back once, what is in time never is."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, settings
from hypothesis import strategies as st

from neuralstream_core.runtimes._watchdog import Watchdog
from tests.support.poll import eventually


def test_what_is_late_is_called_back_once_and_says_so() -> None:
    watchdog = Watchdog()
    calls: list[int] = []
    watch = watchdog.begin(0.01, lambda: calls.append(1))
    eventually(lambda: calls)
    assert not watchdog.finish(watch)
    assert calls == [1]


def test_what_is_finished_in_time_is_never_called_back() -> None:
    watchdog = Watchdog()
    calls: list[str] = []
    early = watchdog.begin(0.5, lambda: calls.append("early"))
    assert watchdog.finish(early)
    later = watchdog.begin(0.6, lambda: calls.append("later"))
    eventually(lambda: calls)
    assert calls == ["later"]
    assert not watchdog.finish(later)


def test_a_watch_begun_while_the_thread_sleeps_wakes_it() -> None:
    watchdog = Watchdog()
    assert watchdog.finish(watchdog.begin(60, lambda: None))
    eventually(lambda: watchdog.asleep)
    late = threading.Event()
    watchdog.begin(0.01, late.set)
    assert late.wait(10)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), min_size=1, max_size=40))
def test_whichever_of_the_two_comes_first_holds_for_every_watch(
    plans: list[tuple[bool, int]],
) -> None:
    watchdog = Watchdog()

    def one(plan: tuple[bool, int]) -> tuple[bool, bool, bool]:
        waits, milliseconds = plan
        called = threading.Event()
        watch = watchdog.begin(milliseconds / 1000, called.set)
        if waits:
            assert called.wait(10)
        in_time = watchdog.finish(watch)
        return waits, in_time, in_time or called.wait(10)

    with ThreadPoolExecutor(8) as threads:
        for waits, in_time, consistent in threads.map(one, plans):
            assert consistent
            assert not (waits and in_time)
