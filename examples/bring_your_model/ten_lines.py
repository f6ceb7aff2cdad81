"""From a scikit-learn pipeline with text and missing values to a prediction, in ten lines.

    python -m examples.bring_your_model.ten_lines http://127.0.0.1:8000

The stack's address may also be in ``NEURALSTREAM_URL``; `make run` starts one.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from neuralstream_client import NeuralStream

__all__ = ["customers", "main"]


def customers(rows: int = 400) -> tuple[pd.DataFrame, pd.Series]:
    """Made-up customers, and who of them left: tenure and country are unknown for some."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"tenure": rng.integers(0, 72, rows).astype(float)})
    data["charges"] = rng.uniform(20, 120, rows)
    data["country"] = rng.choice(["de", "fr", None], rows)
    data.loc[::9, "tenure"] = np.nan
    risk = data["charges"] - data["tenure"].fillna(0) + (data["country"] == "fr") * 20
    return data, (risk > 50).astype(int)


def main(url: str | None = None, name: str = "churn_pipeline") -> float | None:
    """Train, register, promote, predict; the probability that one customer leaves."""
    data, left = customers()
    model = make_pipeline(
        make_column_transformer(
            (SimpleImputer(), ["tenure", "charges"]),
            (OneHotEncoder(handle_unknown="ignore"), ["country"]),
        ),
        LogisticRegression(max_iter=1000),
    ).fit(data, left)
    with NeuralStream(url) as ns:
        logged = ns.log_model(name, model, data, left, promote=True)
        customer = {"tenure": 4.0, "charges": 79.5, "country": None}
        answer = ns.predict(name, features=customer)
    print(f"{name} {logged.version}: equal on {sum(logged.report.rows.values())} rows")
    print(f"probability {answer.probability:.4f} for {customer}")
    return answer.probability


if __name__ == "__main__":
    main(*sys.argv[1:2])
