"""From outcomes that are sent to the numbers of the report, through the function and a real history."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from neuralstream_core.time import iso
from tests.integration.outcomes.conftest import Outcomes
from tests.support.outcomes import LoggedPrediction, named

MINUTE = 60 * 1_000_000
HOUR = 60 * MINUTE


def predicted(outcomes: Outcomes, version: str, n: int, **columns: Any) -> list[LoggedPrediction]:
    """``n`` predictions of model ``m``, a second apart, the last of them an hour ago."""
    first = outcomes.house.clock() - HOUR - n * 1_000_000
    found: list[LoggedPrediction] = []
    for at in range(n):
        moment = first + at * 1_000_000
        cells = {name: values[at] for name, values in columns.items()}
        own = named("m", version, moment, f"{version} {at}")
        found.append(LoggedPrediction(own, moment, version, **cells))
    return found


def values(version: Any) -> dict[str, float]:
    return {name: measured["value"] for name, measured in version["metrics"].items()}


def test_a_regressor_and_two_classifiers_equal_scikit_learn(outcomes: Outcomes) -> None:
    deal = np.random.default_rng(5)
    n = 400
    truth = deal.integers(0, 2, n)
    probability = np.clip(truth * 0.3 + deal.random(n) * 0.7, 0, 1)
    weight = deal.choice([1.0, 4.0], n)
    binary = predicted(
        outcomes,
        "v1",
        n,
        label=[str(int(p > 0.5)) for p in probability],
        value=[float(p > 0.5) for p in probability],
        probability=probability.tolist(),
        weight=weight.tolist(),
    )
    outcomes.version("m", "v1", classes=(0, 1))
    outcomes.log("m", "p1", binary)

    names = np.array(["ant", "bee", "cat"])
    which = deal.integers(0, 3, n)
    many = deal.dirichlet((1, 1, 1), n)
    many[np.arange(n), which] += 0.5
    many /= many.sum(axis=1, keepdims=True)
    three = predicted(
        outcomes,
        "v2",
        n,
        label=names[many.argmax(axis=1)].tolist(),
        probability=many.max(axis=1).tolist(),
        probabilities=[json.dumps(row) for row in many.tolist()],
    )
    outcomes.version("m", "v2", classes=tuple(names.tolist()))
    outcomes.log("m", "p2", three)

    number = deal.normal(size=n)
    guess = number + deal.normal(scale=0.5, size=n)
    real = predicted(outcomes, "v3", n, value=guess.tolist())
    outcomes.version("m", "v3", "regressor")
    outcomes.log("m", "p3", real)

    for logged, labels in (
        (binary, [bool(t) for t in truth]),
        (three, names[which].tolist()),
        (real, number.tolist()),
    ):
        rows = [
            {"prediction_id": p.id, "label": label} for p, label in zip(logged, labels, strict=True)
        ]
        status, answer = outcomes.send("m", rows)
        assert (status, answer) == (
            200,
            {"model": "m", "accepted": n, "versions": {logged[0].version: n}},
        )

    report = outcomes.performance("m", window="24h")
    v1, v2, v3 = report["versions"]
    assert [each["n"] for each in report["versions"]] == [n, n, n]
    assert (v1["predictions"], v1["coverage"]) == (pytest.approx(weight.sum()), 1.0)
    said = probability > 0.5
    assert values(v1) | {"ece": 0} == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(truth, said, sample_weight=weight),
            "log_loss": metrics.log_loss(truth, probability, sample_weight=weight),
            "brier": metrics.brier_score_loss(truth, probability, sample_weight=weight),
            "auc": metrics.roc_auc_score(truth, probability, sample_weight=weight),
            "ece": 0,
        },
        abs=1e-9,
    )
    area = metrics.roc_auc_score(which, many, multi_class="ovr")
    assert values(v2) | {"ece": 0} == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(which, many.argmax(axis=1)),
            "log_loss": metrics.log_loss(which, many),
            "brier": float(((many - np.eye(3)[which]) ** 2).sum(axis=1).mean()),
            "auc": area,
            "ece": 0,
        },
        abs=1e-9,
    )
    assert values(v3) == pytest.approx(
        {
            "mae": metrics.mean_absolute_error(number, guess),
            "rmse": metrics.root_mean_squared_error(number, guess),
            "bias": float((guess - number).mean()),
            "r2": metrics.r2_score(number, guess),
        },
        abs=1e-9,
    )
    assert v1["sentence"].startswith("v1: accuracy ")
    for each in (v1, v2):
        accuracy = each["metrics"]["accuracy"]
        assert accuracy["low"] < accuracy["value"] < accuracy["high"]


def test_late_labels_corrections_and_what_matches_nothing_yet(outcomes: Outcomes) -> None:
    outcomes.version("m", "v1", classes=("a", "b"))
    known = predicted(outcomes, "v1", 4, label=["a", "a", "b", "b"])
    later = known.pop()

    def sent(prediction: LoggedPrediction, label: str, minutes: int) -> dict[str, str]:
        observed = iso(prediction.at + minutes * MINUTE)
        return {"prediction_id": prediction.id, "label": label, "observed_at": observed}

    outcomes.log("m", "p", known)
    rows = [sent(known[0], "a", 20), sent(known[1], "b", 20), sent(later, "b", 20)]
    assert outcomes.send("m", rows)[0] == 200
    # an older outcome changes nothing, a newer one corrects
    assert outcomes.send("m", [sent(known[0], "b", 10), sent(known[1], "a", 30)])[0] == 200

    def told() -> Any:
        report = outcomes.performance("m", window="24h", series="hour")
        (version,) = report["versions"]
        hours = sum(period["n"] for period in version["series"])
        assert hours == version["n"] == round(version["matched"])
        assert sum(p["predictions"] for p in version["series"]) == version["predictions"]
        return version["matched"], version["predictions"], report["unmatched"], values(version)

    assert told() == (2.0, 3.0, 1, {"accuracy": 1.0})
    outcomes.log("m", "q", [later])
    assert told() == (3.0, 4.0, 0, {"accuracy": 1.0})
    outcomes.log("m", "q", [later])  # delivered once more
    assert told() == (3.0, 4.0, 0, {"accuracy": 1.0})
    outcomes.house.compact()
    assert told() == (3.0, 4.0, 0, {"accuracy": 1.0})
    (by_outcome,) = outcomes.performance("m", window="24h", by="observed")["versions"]
    assert (by_outcome["predictions"], by_outcome["coverage"], by_outcome["matched"]) == (
        None,
        None,
        3.0,
    )


def test_labels_under_other_names_and_labels_that_cannot_be(outcomes: Outcomes) -> None:
    outcomes.version("m", "v1", classes=(False, True))
    known = predicted(
        outcomes, "v1", 6, label=["true"] * 6, value=[1.0] * 6, probability=[0.75] * 6
    )
    outcomes.log("m", "p", known)
    labels = [True, 1, 1.0, "true", "1", "perhaps"]
    rows = [{"prediction_id": p.id, "label": v} for p, v in zip(known, labels, strict=True)]
    assert outcomes.send("m", rows)[0] == 200
    (version,) = outcomes.performance("m")["versions"]
    assert version["metrics"]["accuracy"]["value"] == pytest.approx(5 / 6)
    assert version["metrics"]["brier"]["n"] == 5
    assert version["left_out"] == 0

    outcomes.version("m", "v2", "regressor")
    numbers = predicted(outcomes, "v2", 3, value=[1.0, 2.0, 3.0])
    outcomes.log("m", "q", numbers)
    rows = [
        {"prediction_id": p.id, "label": v} for p, v in zip(numbers, [1, "many", 5], strict=True)
    ]
    assert outcomes.send("m", rows)[0] == 200
    (version,) = outcomes.performance("m", version="v2")["versions"]
    assert (version["n"], version["left_out"]) == (2, 1)
    assert version["metrics"]["mae"]["value"] == 1.0


def test_an_outcome_by_entity_and_the_shadow_of_a_prediction(outcomes: Outcomes) -> None:
    outcomes.version("m", "v1", classes=("a", "b"))
    outcomes.version("m", "v2", classes=("a", "b"))
    served = predicted(outcomes, "v1", 2, label=["a", "b"], entity=["u1", '["u1","x"]'])
    other = named("m", "v2", served[0].at, "shadow")
    shadow = LoggedPrediction(
        other, served[0].at, "v2", label="b", entity="u1", shadow=True, of=served[0].id
    )
    outcomes.log("m", "p", [*served, shadow])
    rows: list[dict[str, Any]] = [
        {"entity_id": "u1", "predicted_at": iso(served[0].at + MINUTE), "label": "b"},
        {"entity_id": ["u1", "x"], "predicted_at": iso(served[1].at), "label": "b"},
        {"entity_id": "u1", "predicted_at": iso(served[0].at - MINUTE), "label": "a"},
    ]
    status, answer = outcomes.send("m", rows)
    assert (status, answer["accepted"], answer["versions"]) == (200, 3, {})
    report = outcomes.performance("m")
    found = [(v["version"], v["shadow"], v["n"], values(v)) for v in report["versions"]]
    assert found == [
        ("v1", False, 2, {"accuracy": 0.5}),
        ("v2", True, 1, {"accuracy": 1.0}),
    ]
    assert report["unmatched"] == 1


def test_a_request_that_is_sent_again_with_its_key_is_the_same_outcomes(
    outcomes: Outcomes,
) -> None:
    outcomes.version("m", "v1", classes=("a", "b"))
    (only,) = predicted(outcomes, "v1", 1, label=["a"])
    outcomes.log("m", "p", [only])
    row = {"prediction_id": only.id, "label": "a"}
    first = outcomes.send("m", [row], idempotency_key="k")
    # what was corrected meanwhile stays corrected: the repetition has the time of the first attempt
    assert outcomes.send("m", [row | {"label": "b"}])[0] == 200
    assert outcomes.send("m", [row], idempotency_key="k") == first
    assert values(outcomes.performance("m")["versions"][0]) == {"accuracy": 0.0}
    status, problem = outcomes.send("m", [row | {"label": "b"}], idempotency_key="k")
    assert (status, problem["code"]) == (409, "idempotency_conflict")


def test_what_is_wrong_is_named_and_nothing_is_kept(outcomes: Outcomes) -> None:
    outcomes.version("m", "v1")
    now = outcomes.house.clock()
    (only,) = predicted(outcomes, "v1", 1, label=["1"])
    outcomes.log("m", "p", [only])
    good = {"prediction_id": only.id, "label": 1}
    bad: list[tuple[dict[str, Any], str]] = [
        ({"prediction_id": "m:v1:nothing", "label": 1}, "prediction_id"),
        ({"prediction_id": named("other", "v1", now, "x"), "label": 1}, "prediction_id"),
        ({"prediction_id": named("m", "v1", now + HOUR, "x"), "label": 1}, "prediction_id"),
        (good | {"observed_at": iso(now + HOUR)}, "observed_at"),
        (good | {"observed_at": iso(only.at - MINUTE)}, "observed_at"),
        ({"entity_id": "u", "predicted_at": iso(now + HOUR), "label": 1}, "predicted_at"),
    ]
    status, problem = outcomes.send("m", [good, *(row for row, _ in bad)])
    assert status == 422
    assert [error["loc"] for error in problem["errors"]] == [
        f"rows.{place}.{field}" for place, (_, field) in enumerate(bad, 1)
    ]
    for row in (
        {"label": 1},
        {"entity_id": "u", "label": 1},
        good | {"entity_id": "u", "predicted_at": iso(now)},
        {"prediction_id": only.id, "label": None},
        {"prediction_id": only.id, "label": "x" * 1025},
        {"prediction_id": only.id, "label": ""},
        {"prediction_id": only.id, "label": 10**400},
        {"prediction_id": only.id},
    ):
        assert outcomes.send("m", [good, row])[0] == 422, row
    assert outcomes.send("m", [good] * 10_001)[0] == 413
    assert (
        outcomes.call("POST /outcomes", {"model": "m", "rows": [good]}, scopes="predict")[0] == 403
    )
    (version,) = outcomes.performance("m")["versions"]
    assert (version["matched"], version["coverage"]) == (0.0, 0.0)
    assert version["sentence"] == "v1: none of its 1 predictions has an outcome yet."
    query = {"model": "nobody"}
    assert outcomes.call("GET /monitoring/performance", query=query)[0] == 404
    query = {"model": "m", "window": "30d", "series": "hour"}
    assert outcomes.call("GET /monitoring/performance", query=query)[0] == 422


def test_the_worst_slices_of_a_feature_come_first(outcomes: Outcomes) -> None:
    outcomes.version("m", "v1", classes=("a", "b"))
    n = 200
    carriers = ["EV", "UA"] * (n // 2)
    known = predicted(
        outcomes,
        "v1",
        n,
        label=["a"] * n,
        inputs=[json.dumps({"trip:carrier": c, "trip:hour": i}) for i, c in enumerate(carriers)],
    )
    outcomes.log("m", "p", known)
    rows = [
        {"prediction_id": p.id, "label": "b" if c == "EV" and i % 4 else "a"}
        for i, (p, c) in enumerate(zip(known, carriers, strict=True))
    ]
    assert outcomes.send("m", rows)[0] == 200
    (version,) = outcomes.performance("m", slices="trip:carrier")["versions"]
    found = [(s["values"], s["n"], s["measured"]["value"], s["worse"]) for s in version["slices"]]
    assert found == [("EV", 100, 0.5, True), ("UA", 100, 1.0, False)]
    (version,) = outcomes.performance("m", slices="trip:hour")["versions"]
    assert version["slices"] == []  # tenths of 20 rows are too few each
    (version,) = outcomes.performance("m", slices="trip:unknown")["versions"]
    assert version["slices"] == []
    query = {"model": "m", "slices": 'a"b'}
    assert outcomes.call("GET /monitoring/performance", query=query)[0] == 422
