"""The versions of a split compared by what became of their predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from neuralstream_core.outcomes.sequences import arm_of, compare
from neuralstream_core.registry.issuer import Issuer
from neuralstream_core.registry.registry import Registry
from neuralstream_core.time import iso
from tests.integration.outcomes.conftest import Outcomes
from tests.support.outcomes import NAMESPACE, LoggedPrediction, named

MINUTE = 60 * 1_000_000
HOUR = 60 * MINUTE
ROUTE = "GET /models/{name}/ab-split/results"


class Split:
    """Model ``m``, whose traffic is split over two versions at times that a test sets."""

    def __init__(self, outcomes: Outcomes) -> None:
        self.outcomes = outcomes
        self.now = outcomes.house.clock()
        for version in ("v1", "v2"):
            outcomes.version("m", version, classes=("a", "b"))
        self.registry = Registry(outcomes.house.registry, NAMESPACE, lambda: self.now)

    def set(self, hours_ago: float, **weights: float) -> None:
        real = self.now
        self.now = real - round(hours_ago * HOUR)
        self.registry.set_split("m", weights, Issuer("ann"))
        self.now = real

    def predict(
        self,
        version: str,
        right: Sequence[bool],
        hours_ago: float,
        entities: int | None = None,
        start: int = 0,
    ) -> None:
        """Log predictions of ``a`` and send their outcomes; entities take turns."""
        at = self.now - round(hours_ago * HOUR)
        many = entities or len(right)
        made = [
            LoggedPrediction(
                named("m", version, at + i, f"{version} {hours_ago} {i}"),
                at + i,
                version,
                label="a",
                entity=f"{version}-{start + i % many}",
            )
            for i in range(len(right))
        ]
        self.outcomes.log("m", f"{version} {hours_ago} {start}", made)
        rows = [
            {"prediction_id": p.id, "label": "a" if ok else "b"}
            for p, ok in zip(made, right, strict=True)
        ]
        assert self.outcomes.send("m", rows)[0] == 200

    def results(self, **query: str) -> tuple[int, Any]:
        return self.outcomes.call(ROUTE, None, query, path={"name": "m"})


@pytest.fixture
def split(outcomes: Outcomes) -> Split:
    return Split(outcomes)


def share(n: int, right: float) -> list[bool]:
    """``n`` outcomes of which this share is right, spread evenly."""
    return [bool(int((i + 1) * right) > int(i * right)) for i in range(n)]


def test_a_better_version_is_found_and_the_numbers_are_those_of_the_sequence(split: Split) -> None:
    split.set(10, v1=0.5, v2=0.5)
    split.predict("v1", share(2000, 0.7), 5)
    split.predict("v2", share(2000, 0.8), 5)
    status, answer = split.results()
    assert status == 200, answer
    assert (answer["running"], answer["production"], answer["metric"]) == (True, "v1", "accuracy")
    assert answer["start"].startswith(iso(split.now - 10 * HOUR)[:16])
    assert [(v["version"], v["n"], v["coverage"]) for v in answer["versions"]] == [
        ("v1", 2000, 1.0),
        ("v2", 2000, 1.0),
    ]
    (one,) = answer["comparisons"]
    ones = np.ones(2000)
    arms = [arm_of(np.array(share(2000, each), np.float64), ones) for each in (0.8, 0.7)]
    wanted = compare(arms[0], arms[1])
    assert wanted.low is not None
    assert (one["value"], one["low"], one["high"]) == pytest.approx(
        (wanted.value, wanted.low, wanted.high)
    )
    assert (one["better"], one["entities"]) == (True, 4000)
    assert one["low"] > 0
    assert answer["verdict"].startswith("v2 is better than v1: accuracy 80 % against 70 %")
    assert answer["traffic"]["entities"] == {"v1": 2000, "v2": 2000}
    assert not answer["traffic"]["mismatch"]


def test_as_long_as_nothing_is_shown_it_says_what_it_takes(split: Split) -> None:
    split.set(10, v1=0.5, v2=0.5)
    status, answer = split.results()
    assert (status, answer["comparisons"]) == (200, [])
    assert "outcomes are missing" in answer["verdict"]
    split.predict("v1", share(500, 0.7), 5)
    split.predict("v2", share(500, 0.7), 5)
    (one,) = split.results(effect="0.05")[1]["comparisons"]
    assert (one["better"], one["effect"]) == (None, 0.05)
    assert one["needed"] > 1000
    assert one["detectable"] > 0.05
    # ten hours for 1000 of them
    waiting = (one["needed"] - 1000) / 100
    later = split.results(effect="0.05")[1]["comparisons"][0]
    assert later["needed"] == one["needed"]
    assert f"{round(waiting / 24)} days from now" in one["sentence"]
    assert one["ready_at"] > iso(split.now)
    assert split.results(metric="mae")[0] == 422
    assert split.results(metric="log_loss")[1]["metric"] == "log_loss"
    assert split.results(alpha="0.9")[0] == 422


def test_an_entity_counts_once_and_a_prediction_without_one_not_at_all(split: Split) -> None:
    split.set(10, v1=0.5, v2=0.5)
    split.predict("v1", share(1000, 0.5), 5, entities=20)
    split.predict("v2", share(1000, 0.9), 5, entities=20)
    nobody = LoggedPrediction(named("m", "v1", split.now - HOUR, "-"), split.now - HOUR, "v1", "a")
    split.outcomes.log("m", "nobody", [nobody])
    assert split.outcomes.send("m", [{"prediction_id": nobody.id, "label": "a"}])[0] == 200
    answer = split.results()[1]
    (one,) = answer["comparisons"]
    assert (one["entities"], one["low"], one["better"]) == (40, None, None)
    assert "too few" in answer["verdict"]
    assert [(v["n"], v["entities"]) for v in answer["versions"]] == [(1000, 20), (1000, 20)]


def test_a_change_over_time_is_none_between_versions(split: Split) -> None:
    """A ramp from 10 to 90 % while everything becomes harder: a plain comparison would say v2 is worse."""
    split.set(20, v1=0.9, v2=0.1)
    split.predict("v1", share(2700, 0.9), 15)
    split.predict("v2", share(300, 0.9), 15)
    split.set(10, v1=0.1, v2=0.9)
    split.predict("v1", share(300, 0.6), 5, start=5000)
    split.predict("v2", share(2700, 0.6), 5, start=5000)
    answer = split.results()[1]
    (one,) = answer["comparisons"]
    assert one["value"] == pytest.approx(0, abs=1e-3)
    assert one["better"] is None
    by_version = {v["version"]: v["metrics"]["accuracy"]["value"] for v in answer["versions"]}
    assert by_version["v1"] - by_version["v2"] > 0.2
    assert answer["traffic"]["entities"] == {"v1": 300, "v2": 2700}
    since = iso(split.now - 12 * HOUR)
    (late,) = split.results(start=since)[1]["comparisons"]
    assert late["entities"] == 3000


def test_traffic_that_does_not_follow_the_split_is_told_first(split: Split) -> None:
    split.set(10, v1=0.5, v2=0.5)
    split.predict("v1", share(1000, 0.5), 5)
    split.predict("v2", share(600, 0.9), 5)
    answer = split.results()[1]
    assert answer["traffic"]["mismatch"]
    assert answer["verdict"].startswith("The traffic does not follow the split")


def test_the_results_of_a_split_that_has_ended_stay(split: Split) -> None:
    assert split.results()[0] == 409
    split.set(10, v1=0.5, v2=0.5)
    split.predict("v1", share(200, 0.5), 5)
    split.predict("v2", share(200, 0.9), 5)
    split.registry.end_split("m", Issuer("ann"))
    split.predict("v1", share(200, 0.5), -0.01)
    status, answer = split.results()
    assert (status, answer["running"]) == (200, False)
    (one,) = answer["comparisons"]
    assert (one["entities"], one["ready_at"]) == (400, None)
    assert split.outcomes.call(ROUTE, path={"name": "nobody"})[0] == 404
