"""The rows that models of every family are trained on, and what they are fitted to."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

__all__ = ["BINARY", "GAPS", "TARGET", "THREE", "WORDS", "N", "X", "frame", "numbers"]

N = 240
_RNG = np.random.default_rng(11)
X = _RNG.normal(size=(N, 4))
GAPS = X.copy()
GAPS[::7, 0] = np.nan
BINARY = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(np.int64)
WORDS = np.array(["no", "yes"])[BINARY]
THREE = np.array(["low", "mid", "top"])[np.digitize(X[:, 0] + 0.5 * X[:, 3], [-0.5, 0.5])]
TARGET = X @ np.arange(1, 5) + np.sin(5 * X[:, 0])


@cache
def frame() -> Any:
    """Numbers with gaps, whole numbers, text with gaps and booleans."""
    import pandas as pd

    made = pd.DataFrame(
        {
            "age in years": X[:, 0],
            "visits": (X[:, 1] * 10).round().astype(int),
            "country": np.array(["de", "fr", None], object)[_RNG.integers(0, 3, N)],
            "member": X[:, 3] > 0,
        }
    )
    made.loc[::7, "age in years"] = np.nan
    return made


@cache
def numbers() -> Any:
    """The numeric columns of `frame`, and one more."""
    return frame()[["age in years", "visits"]].assign(spend=X[:, 2])
