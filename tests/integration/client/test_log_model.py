"""Fitted models of many families: served as they predict, or refused before anything is uploaded."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import numpy as np
import pytest

from neuralstream_client import AsyncNeuralStream, NeuralStream
from neuralstream_client.errors import ConfigurationError, Invalid, NotFound
from neuralstream_client.log_model import Logged, LogModelError, ParityError
from neuralstream_client.log_model.names import feature_name
from neuralstream_client.log_model.table import read_table
from tests.support.logged_models import FAMILIES, Fitted, fitted
from tests.support.logged_rows import numbers
from tests.support.stack import RunningStack

ROWS = 48
TIE = 1e-4
"""Probabilities or scores nearer than this are a tie of two labels."""


def _served(ns: NeuralStream, logged: Logged, given: Any) -> tuple[list[int], list[dict[str, Any]]]:
    """The rows that the version takes, and its answers to them as values of the request."""
    table = read_table(given)
    gaps = np.any([column.missing for column in table.columns], axis=0)[:ROWS]
    rows = [row for row in range(ROWS) if logged.report.missing == "null" or not gaps[row]]
    data: dict[str, list[Any]] = {"entity_id": [f"e{row}" for row in rows]}
    for column in table.columns:
        data[feature_name(column.name)] = [column.cell(row) for row in rows]
    answers = ns.predict_many(logged.model, data, version=logged.version)
    assert not answers.failures
    return rows, answers.rows


def _source(made: Fitted, rows: list[int]) -> Any:
    return made.X.iloc[rows] if hasattr(made.X, "iloc") else made.X[rows]


def _holds(made: Fitted, rows: list[int], answers: list[dict[str, Any]]) -> None:
    """No label differs outside ties, and numbers are equal to five digits."""
    model = made.model if made.source is None else made.source
    given = _source(made, rows)
    if made.predict is not None:
        probability = np.asarray(made.predict(given))
        served = np.array([answer["probability"] for answer in answers])
        assert served == pytest.approx(probability, abs=1e-5)
        return
    expected = model.predict(given) if hasattr(model, "predict") else model.transform(given)
    expected = expected[:, 0] if np.ndim(expected) == 2 and expected.shape[1] == 1 else expected
    beside = model.predict_proba(given) if hasattr(model, "predict_proba") else None
    size = float(np.abs(expected).max()) if np.asarray(expected).dtype.kind == "f" else 1.0
    for place, (want, answer) in enumerate(zip(expected.tolist(), answers, strict=True)):
        if isinstance(want, float | list):
            assert answer["prediction"] == pytest.approx(want, rel=1e-5, abs=1e-5 * size)
        elif answer["prediction"] != want:
            assert beside is not None
            ordered = np.sort(beside[place])
            assert ordered[-1] - ordered[-2] < TIE
    if beside is not None:
        for want, answer in zip(beside, answers, strict=True):
            if len(want) == 2:
                assert answer["probability"] == pytest.approx(want[1], abs=1e-5)
            else:
                served = [v for k, v in answer.items() if k.startswith("probabilities.")]
                assert served == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize("family", [name for name, one in FAMILIES.items() if not one.refused])
def test_a_fitted_model_is_served_as_it_predicts(ns: NeuralStream, name: str, family: str) -> None:
    made, options = fitted(family)
    logged = ns.log_model(name, made.model, made.X, made.y, **options)
    assert (logged.record.status, logged.record.stage) == ("READY", "staging")
    assert logged.record.check is not None
    assert logged.record.check.rows >= 50
    rows, answers = _served(ns, logged, made.X)
    _holds(made, rows, answers)


@pytest.mark.parametrize("family", [name for name, one in FAMILIES.items() if one.refused])
def test_a_model_that_would_be_served_wrongly_is_refused_before_the_upload(
    ns: NeuralStream, name: str, family: str
) -> None:
    made, options = fitted(family)
    with pytest.raises(LogModelError, match=re.escape(FAMILIES[family].refused or "")) as refusal:
        ns.log_model(name, made.model, made.X, made.y, **options)
    if isinstance(refusal.value, ParityError):
        worst = refusal.value.rows[0]
        assert list(worst.inputs) == read_table(made.X).names
        assert worst.expected != worst.served
    with pytest.raises(NotFound):
        ns.models.get(name)


def test_columns_come_from_a_feature_view_and_keep_what_they_were_called(
    ns: NeuralStream, name: str
) -> None:
    made, _ = fitted("XGBClassifier")
    ns.features.apply(
        {
            "name": name,
            "entity": "user_id",
            "features": {"age_in_years": "float64", "visits": "int64", "spend": "float32"},
        }
    )
    logged = ns.log_model(name, made.model, made.X, made.y, view=name, promote=True)
    assert logged.record.features == [f"{name}:age_in_years", f"{name}:visits", f"{name}:spend"]
    assert logged.record.stage == "production"
    assert logged.record.params["columns"] == {f"{name}:age_in_years": "age in years"}
    assert logged.record.missing == "null"
    ns.features.write([{"user_id": "u1", "age_in_years": 0.5, "visits": 3}], view=name)
    answer = ns.predict(name, "u1")
    row = numbers().iloc[:1].assign(**{"age in years": 0.5, "visits": 3, "spend": np.nan})
    assert answer.probability == pytest.approx(made.model.predict_proba(row)[0, 1], abs=1e-5)


def test_a_column_that_its_feature_cannot_hold_is_refused(ns: NeuralStream, name: str) -> None:
    made, _ = fitted("XGBRegressor")
    ns.features.apply({"name": name, "entity": "id", "features": dict.fromkeys(("f0",), "int64")})
    with pytest.raises(LogModelError, match=r"'f0' holds float64 values .* int64"):
        ns.log_model(name, made.model, made.X, features={"f0": f"{name}:f0"})


def test_a_version_carries_what_it_was_made_from_and_what_drift_is_measured_against(
    ns: NeuralStream, name: str
) -> None:
    made, _ = fitted("Pipeline with text and nulls")
    logged = ns.log_model(
        name,
        made.model,
        made.X,
        made.y,
        training_set="ts_17",
        dataset="customers 2026",
        metrics={"auc": 0.9},
        promote=True,
    )
    lineage = logged.record.lineage
    assert lineage.dataset.name == "customers 2026"
    assert lineage.dataset.digest.startswith("sha256:")
    assert lineage.training_set == "ts_17"
    assert {"python", "numpy", "scikit-learn", "skl2onnx"} <= set(lineage.packages)
    assert logged.record.metrics == {"auc": 0.9}
    assert logged.record.profile is not None
    report = ns.models.lineage(name)
    assert [version.version for version in report.versions] == ["v1"]


def test_the_same_rows_have_the_same_digest_and_others_another(ns: NeuralStream, name: str) -> None:
    made, _ = fitted("LogisticRegression")
    digests = [
        ns.log_model(name, made.model, rows, made.y[: len(rows)]).record.lineage.dataset.digest
        for rows in (made.X, made.X.copy(), made.X[:200])
    ]
    assert digests[0] == digests[1] != digests[2]


def test_a_new_version_gets_a_share_of_the_traffic(ns: NeuralStream, name: str) -> None:
    made, _ = fitted("LogisticRegression")
    with pytest.raises(NotFound):
        ns.log_model(name, made.model, made.X, split=0.1)
    ns.log_model(name, made.model, made.X)
    with pytest.raises(ConfigurationError, match="promote=True"):
        ns.log_model(name, made.model, made.X, split=0.1)
    ns.models.promote(name, "v1")
    ns.log_model(name, made.model, made.X, split=0.1)
    assert ns.models.get_split(name).split == pytest.approx({"v1": 0.9, "v2": 0.1})
    ns.log_model(name, made.model, made.X, split=0.5)
    assert ns.models.get_split(name).split == pytest.approx({"v1": 0.45, "v2": 0.05, "v3": 0.5})
    with pytest.raises(ConfigurationError, match="give one"):
        ns.log_model(name, made.model, made.X, split=0.1, promote=True)


def test_an_artifact_too_large_for_a_request_is_uploaded(ns: NeuralStream, name: str) -> None:
    from sklearn.ensemble import RandomForestRegressor

    rng = np.random.default_rng(5)
    data, y = rng.normal(size=(2000, 4)), rng.normal(size=2000)
    model = RandomForestRegressor(50, random_state=0, n_jobs=1).fit(data, y)
    logged = ns.log_model(name, model, data, y)
    assert logged.record.size > 4 * 1024 * 1024
    assert logged.record.status == "READY"
    assert logged.record.check is not None
    rows, answers = _served(ns, logged, data)
    _holds(Fitted(model, data), rows, answers)


def test_a_refusal_of_the_stack_is_raised_with_its_reason(ns: NeuralStream, name: str) -> None:
    made, _ = fitted("LogisticRegression")
    with pytest.raises(Invalid, match="parents"):
        ns.log_model(name, made.model, made.X, lineage={"parents": ["nobody@v1"]})


def test_the_asynchronous_client_logs_a_model_too(stack: RunningStack, name: str) -> None:
    made, options = fitted("LinearRegression, several outputs")

    async def flow() -> Any:
        async with AsyncNeuralStream(stack.url) as ns:
            logged = await ns.log_model(name, made.model, made.X, made.y, promote=True, **options)
            row = dict(zip(["f0", "f1", "f2", "f3"], made.X[0].tolist(), strict=True))
            return logged.version, await ns.predict(name, features=row)

    version, answer = asyncio.run(flow())
    assert version == "v1"
    assert answer.prediction == pytest.approx(made.model.predict(made.X[:1])[0], rel=1e-5)


def test_with_warn_a_model_that_differs_is_registered_and_the_rows_are_told(
    ns: NeuralStream, name: str
) -> None:
    made, _ = fitted("CalibratedClassifierCV, isotonic")
    with pytest.warns(UserWarning, match="rows are served with another answer"):
        logged = ns.log_model(name, made.model, made.X, made.y, on_mismatch="warn")
    assert logged.report.failed > 0
