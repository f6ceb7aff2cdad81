"""The arithmetic behind every published number."""

import json
import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import _harness
from benchmarks._harness import Group, Report, percentile

TIMES = st.lists(st.floats(1e-6, 10.0), min_size=1, max_size=300)


@given(TIMES, st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_is_a_sample_that_enough_samples_do_not_exceed(samples, q):
    value = percentile(samples, q)
    assert value in samples
    assert sum(s <= value for s in samples) >= math.floor(q * len(samples))
    assert sum(s < value for s in samples) < math.ceil(q * len(samples))


def test_a_machine_that_slows_down_in_the_middle_does_not_change_a_ratio():
    group = Group("any", limit="limit")
    group.samples = {"limit": [1.0, 1.0, 1.0, 9.0, 9.0], "ours": [1.5, 1.5, 1.5, 13.5, 13.5]}
    assert group.ratio("ours") == pytest.approx(1.5)


def test_every_case_is_called_in_every_round_and_measured():
    calls = {"limit": 0, "ours": 0}

    def count(name):
        def call():
            calls[name] += 1

        return call

    group = Group("any", limit="limit")
    group.measure({name: count(name) for name in calls}, seconds=0.0, least=7)
    assert {name: len(samples) for name, samples in group.samples.items()} == {
        "limit": 7,
        "ours": 7,
    }
    assert calls == {"limit": 10, "ours": 10}, "three calls to warm up"


def test_a_report_counts_the_budgets_that_do_not_hold(capsys):
    group = Group("read", limit="limit", rows=1000, budgets={"ours": 1.3, "theirs": 3.0})
    group.samples = {"limit": [1.0, 1.0], "ours": [1.4, 1.4], "theirs": [2.0, 2.0]}
    report = Report("test", "a workload")
    report.add(group)
    assert report.save(quick=True) == 1
    assert "over budget: read: ours" in capsys.readouterr().out
    page = report.markdown()
    assert "| ours | 1400.0 ms | 1400.0 ms | 714 | 1.40 | ≤ 1.3 |" in page
    assert "Redis" in page, "the machine is named"


def test_a_saved_result_says_how_long_its_run_took_after_the_one_before(monkeypatch, tmp_path):
    now = iter([140.0, 145.0])
    monkeypatch.setattr(_harness, "RESULTS", tmp_path)
    monkeypatch.setattr(_harness, "time", SimpleNamespace(monotonic=lambda: next(now)))
    monkeypatch.setattr(Report, "since", 100.0)
    group = Group("read", limit="limit")
    group.samples = {"limit": [1.0]}
    for name in ("first", "second"):
        Report(name, "a workload", [group]).save()
    took = [
        json.loads((tmp_path / f"{name}.json").read_text())["seconds"]
        for name in ("first", "second")
    ]
    assert took == [40, 5]
