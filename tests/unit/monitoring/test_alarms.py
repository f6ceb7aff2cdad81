"""Hysteresis: two of three windows open an alarm, two quiet ones clear it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_core.monitoring.decision import DriftStatus
from neuralstream_core.monitoring.evaluation import State, next_status

O, W, D = DriftStatus.OK, DriftStatus.WARNING, DriftStatus.DRIFT  # noqa: E741 - a row of them reads as a picture
I, N = DriftStatus.INSUFFICIENT_DATA, DriftStatus.NO_REFERENCE  # noqa: E741 - the same


def replay(windows):
    state, seen = State(), []
    for window in windows:
        status, recent = next_status(state, window)
        state = State(status=status, recent=recent)
        seen.append(status)
    return seen


@pytest.mark.parametrize(
    ("windows", "alarms"),
    [
        ([O, O, O], [O, O, O]),
        ([D, O, O], [O, O, O]),
        ([D, D], [O, D]),
        ([D, O, D], [O, O, D]),
        ([D, O, O, D], [O, O, O, O]),
        ([D, D, O, D, O, O], [O, D, D, D, D, O]),
        ([W, W], [O, W]),
        ([D, W], [O, W]),
        ([W, W, D, D], [O, W, W, D]),
        ([D, D, W, W], [O, D, D, W]),
        ([D, I, D], [O, O, D]),
        ([D, D, I, I, O, I, O], [O, D, D, D, D, D, O]),
        ([N, N], [O, O]),
    ],
)
def test_an_alarm_opens_and_clears(windows, alarms):
    assert replay(windows) == alarms


@given(st.lists(st.sampled_from([O, W, D, I, N]), max_size=30))
def test_one_bad_window_alone_never_opens_an_alarm(windows):
    seen = replay(windows)
    for i, status in enumerate(seen):
        if status.alarming and (i == 0 or not seen[i - 1].alarming):
            judged = [w for w in windows[: i + 1] if w not in (I, N)][-3:]
            assert sum(w.alarming for w in judged) >= 2


@given(st.lists(st.sampled_from([O, W, D]), min_size=2, max_size=30))
def test_two_quiet_windows_always_clear(windows):
    assert replay([*windows, O, O])[-1] is O
