"""The answer of a function whose event source delivers again what failed (``ReportBatchItemFailures``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["batch_failures"]


def batch_failures(ids: Iterable[str]) -> dict[str, Any]:
    """Have these messages delivered again; of a stream, the first of them and everything after it."""
    return {"batchItemFailures": [{"itemIdentifier": i} for i in ids]}
