"""The rows that every family is trained on, and what they are fitted to."""

from __future__ import annotations

import numpy as np

__all__ = ["BINARY", "TARGET", "TARGETS", "THREE", "THREE_WORDS", "WORDS", "F", "N", "X"]

N, F = 240, 5
_RNG = np.random.default_rng(7)
X = _RNG.normal(size=(N, F)).astype(np.float32)
BINARY = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(np.int64)
WORDS = np.array(["no", "yes"])[BINARY]
THREE = np.digitize(X[:, 0] + 0.5 * X[:, 3], [-0.5, 0.5]).astype(np.int64)
THREE_WORDS = np.array(["low", "mid", "top"])[THREE]
TARGET = (X @ np.arange(1, F + 1) / 4 + np.sin(X[:, 1])).astype(np.float32)
TARGETS = np.stack([TARGET, -2 * TARGET + X[:, 2]], axis=1)
