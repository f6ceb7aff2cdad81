"""The part of ``log_model`` that needs no stack: columns, names, the proof and what is registered."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from neuralstream_client.log_model import (
    ConversionError,
    LogModelError,
    Options,
    ParityError,
    prepare,
)
from neuralstream_client.log_model.names import feature_name, feature_names
from neuralstream_core.registry.registration import Registration
from tests.support.logged_models import fitted
from tests.support.logged_rows import BINARY, TARGET, WORDS, X, frame, numbers

LOGISTIC = LogisticRegression().fit(X, WORDS)


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("tenure", "tenure"),
        ("Age (in years)", "Age_in_years"),
        ("Länge/cm", "Lange_cm"),
        ("_hidden_", "hidden"),
        ("été", "ete"),
        ("x" * 200, "x" * 128),
    ],
)
def test_a_column_becomes_a_legal_feature_name(column: str, name: str) -> None:
    assert feature_name(column) == name


def test_two_columns_that_would_be_one_feature_are_refused() -> None:
    with pytest.raises(LogModelError, match=r"'a b' and 'a/b' are both named 'a_b'"):
        feature_names(["a b", "a/b"])
    with pytest.raises(LogModelError, match="no letter or digit"):
        feature_name("€")


def test_columns_in_another_order_are_put_in_the_models() -> None:
    made, _ = fitted("Pipeline with text and nulls")
    shuffled = made.X[made.X.columns[::-1]]
    prepared = prepare(made.model, shuffled)
    labels = [one["feature"] for one in prepared.body["features"]]
    assert labels == [
        "request:age_in_years",
        "request:visits",
        "request:country",
        "request:member",
    ]


def test_columns_that_the_model_does_not_know_are_named() -> None:
    made, _ = fitted("XGBClassifier")
    with pytest.raises(LogModelError, match=r"missing \['spend'\], not known to the model \['x'\]"):
        prepare(made.model, made.X.rename(columns={"spend": "x"}))
    with pytest.raises(LogModelError, match="fitted with 4 columns, X has 3"):
        prepare(LOGISTIC, X[:, :3])


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (pd.Categorical(["a", "b"] * 120), "is categorical"),
        (pd.date_range("2026-01-01", periods=240), "Turn dates into numbers"),
        ([1, "a"] * 120, "mixed columns into one type"),
        ([2**60] * 240, "beyond 2\\*\\*53"),
    ],
)
def test_a_column_that_is_no_feature_is_refused_with_what_to_do(column, reason) -> None:
    with pytest.raises(LogModelError, match=reason):
        prepare(LOGISTIC, numbers().assign(odd=column))


def test_a_file_of_another_model_is_refused_with_the_worst_rows_first() -> None:
    arrays = {"coef": LOGISTIC.coef_ * 2, "intercept": [0.0], "classes": LOGISTIC.classes_}
    with pytest.raises(ParityError) as refusal:
        prepare(arrays, X, options=Options(reference=LOGISTIC.predict_proba))
    rows = refusal.value.rows
    assert refusal.value.failed >= len(rows) == 5
    assert [row.difference for row in rows] == sorted((r.difference for r in rows), reverse=True)
    assert rows[0].inputs.keys() == {"f0", "f1", "f2", "f3"}
    assert "nothing was uploaded" in str(refusal.value)
    assert refusal.value.cure in str(refusal.value)


def test_a_difference_within_the_tolerance_that_is_given_is_accepted() -> None:
    arrays = {"coef": LOGISTIC.coef_ + 1e-3, "intercept": LOGISTIC.intercept_}
    source = LinearRegression().fit(X, X @ LOGISTIC.coef_[0])
    arrays["intercept"] = np.zeros(1)
    with pytest.raises(ParityError):
        prepare(arrays, X, options=Options(reference=source.predict))
    loose = prepare(arrays, X, options=Options(reference=source.predict, tolerance=0.1))
    assert 1e-5 < loose.report.max_difference < 0.1
    assert loose.body["check"]["tolerance"] >= 0.1


def test_thresholds_that_float32_does_not_tell_apart_are_served_from_float64_features_only() -> (
    None
):
    import lightgbm

    low, high = 0.1, 0.1 + 1e-9  # the same number in float32
    rows = pd.DataFrame({"rate": [low, high] * 60})
    params = {"min_child_samples": 1, "n_estimators": 5, "verbose": -1, "n_jobs": 1}
    model = lightgbm.LGBMRegressor(**params, min_data_in_bin=1).fit(rows, rows["rate"] > low)
    exact = Options(view="v", dtypes={"v:rate": "float64"})
    prepared = prepare(model, rows, options=exact)
    assert prepared.report.failed == 0
    assert prepared.report.rows["thresholds"] > 0
    with pytest.raises(ParityError, match="declare the features as float64") as refusal:
        prepare(model, rows, options=Options(view="v", dtypes={"v:rate": "float32"}))
    worst = [row.inputs["rate"] for row in refusal.value.rows]
    assert len(set(worst)) == len(worst)


def test_missing_values_are_served_where_the_model_takes_them_and_refused_where_it_does_not() -> (
    None
):
    made, _ = fitted("RandomForestClassifier, missing values")
    assert prepare(made.model, made.X).body["missing"] == "null"
    assert prepare(LOGISTIC, X).body["missing"] == "error"


def test_missing_text_is_served_as_the_category_that_was_trained_for_it() -> None:
    made, _ = fitted("Pipeline with text and nulls")
    prepared = prepare(made.model, made.X)
    assert prepared.report.missing == "null"
    assert prepared.report.rows["nulls"] > 30
    countries = prepared.body["check"]["inputs"]["request:country"]
    assert None in countries


def test_pandas_polars_and_arrays_give_the_same_artifact() -> None:
    rows = pd.DataFrame(X, columns=["f0", "f1", "f2", "f3"])
    model = make_pipeline(StandardScaler(), LinearRegression()).fit(rows, TARGET)
    pandas, polars = prepare(model, rows), prepare(model, pl.from_pandas(rows))
    arrays = prepare(model, X)
    assert pandas.artifact == polars.artifact == arrays.artifact
    assert pandas.body["features"] == polars.body["features"] == arrays.body["features"]


def test_what_is_registered_is_a_registration_that_the_registry_takes() -> None:
    made, _ = fitted("Pipeline with text and nulls, LightGBM")
    prepared = prepare(made.model, made.X, made.y, Options(view="users", training_set="ts_1"))
    body = {**prepared.body, "artifact": {"sha256": "0" * 64, "size": len(prepared.artifact)}}
    registration = Registration.model_validate(body, strict=False)
    assert registration.features[0].feature == "users:age_in_years"
    assert registration.metrics["train_accuracy"] > 0.5
    assert registration.baseline is not None
    assert registration.check is not None
    assert registration.check.rows >= 50


def test_the_baseline_misses_values_as_often_as_the_data_does() -> None:
    rows = pd.DataFrame(X, columns=["f0", "f1", "f2", "f3"])
    rows.loc[::4, "f1"] = np.nan
    model = make_pipeline(SimpleImputer(), LogisticRegression()).fit(rows, BINARY)
    baseline = prepare(model, rows, BINARY).body["baseline"]
    missing = [cell is None for cell in baseline["columns"]["request:f1"]]
    assert sum(missing) / len(missing) == pytest.approx(0.25, abs=0.02)
    assert baseline["prediction"] == pytest.approx(model.predict(rows).tolist())
    assert baseline["probability"] == pytest.approx(model.predict_proba(rows)[:, 1], rel=1e-5)


def test_a_model_without_an_export_says_what_to_do() -> None:
    class Own:
        pass

    with pytest.raises(LogModelError, match="export it to ONNX yourself"):
        prepare(Own(), X)
    with pytest.raises(ConversionError, match="no plain linear model"):
        prepare(
            DecisionTreeClassifier(max_depth=2).fit(X, BINARY), X, options=Options(format="linear")
        )
    made, _ = fitted("CatBoost with cat_features")
    with pytest.raises(ConversionError, match="ColumnTransformer"):
        prepare(made.model, made.X)
    with pytest.raises(LogModelError, match="there is no file"):
        prepare("nowhere.onnx", X)


def test_features_are_mapped_by_column_and_errors_name_the_column() -> None:
    columns = frame().columns
    made, _ = fitted("Pipeline with text and nulls")
    mapped = prepare(
        made.model, made.X, options=Options(features={columns[0]: "users:age"}, view="visits")
    )
    assert mapped.body["features"][:2] == ["users:age", "visits:visits"]
    with pytest.raises(LogModelError, match="names the column 'nope'"):
        prepare(made.model, made.X, options=Options(features={"nope": "users:age"}))
    with pytest.raises(LogModelError, match="lists 1 features for 4 columns"):
        prepare(made.model, made.X, options=Options(features=["users:age"]))
    with pytest.raises(LogModelError, match="not of the form view:feature"):
        prepare(made.model, made.X, options=Options(features={columns[0]: "age"}))
