"""Make ``register.json``: the quickstart's churn model as a ready request body.

    python -m examples.quickstart.prepare

A logistic regression whose weights are set by hand, so that everyone who follows the README sees the
same number; exported to ONNX by the ordinary converter.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import LogisticRegression

FEATURES = ("tenure_months", "monthly_charges", "support_tickets")
WEIGHTS = (-0.045, 0.021, 0.38)
BIAS = -0.73
ROWS = ([4, 79.5, 3], [60, 25.0, 0], [1, 110.0, 7], [24, 64.25, 1])
"""What the registry has to reproduce before the version is READY."""


def churn_model() -> LogisticRegression:
    """The source model: P(churn) = σ(WEIGHTS · features + BIAS)."""
    model = LogisticRegression()
    model.classes_ = np.array([0, 1])
    model.coef_ = np.array([WEIGHTS])
    model.intercept_ = np.array([BIAS])
    model.n_features_in_ = len(FEATURES)
    return model


def main() -> None:
    model = churn_model()
    graph = to_onnx(
        model,
        initial_types=[("inputs", FloatTensorType([None, len(FEATURES)]))],
        options={id(model): {"zipmap": False}},
        target_opset=15,
        name="churn_model",
    )
    body = {
        "format": "onnx",
        "artifact_base64": base64.b64encode(graph.SerializeToString(deterministic=True)).decode(),
        "features": [f"user_features:{name}" for name in FEATURES],
        "check": {
            "inputs": [dict(zip(FEATURES, row, strict=True)) for row in ROWS],
            "expected": {
                "prediction": model.predict(np.array(ROWS)).tolist(),
                "probability": model.predict_proba(np.array(ROWS))[:, 1].tolist(),
            },
            "tolerance": 1e-5,
        },
        "description": "quickstart: will this customer leave?",
    }
    path = Path(__file__).parent / "register.json"
    path.write_text(json.dumps(body, indent=1) + "\n")
    example = np.array([[4, 79.5, 3]])
    print(path.name, "P(churn | 4 months, 79.50, 3 tickets) =", model.predict_proba(example)[0, 1])


if __name__ == "__main__":
    main()
