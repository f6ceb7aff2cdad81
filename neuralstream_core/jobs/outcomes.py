"""Whether a job over the rows of an input has done well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from neuralstream_core.jobs.records import Failure

__all__ = ["verdict"]


def verdict(
    source: str,
    rows: int,
    reasons: Mapping[str, int],
    max_failed_fraction: float,
    *,
    allow_empty: bool,
) -> Failure | None:
    """Why a job failed, if it did.

    Args:
        source: address of the input.
        rows: of the input, failed ones included.
        reasons: failed rows by error code.
        max_failed_fraction: share of failed rows that is allowed, 0 to 1.
        allow_empty: an input without rows is allowed.
    """
    if not rows and not allow_empty:
        # usually the export that made the input has failed
        return Failure(
            code="empty_input",
            detail=f"{source} has no rows; with allow_empty such a job succeeds",
        )
    failed = sum(reasons.values())
    if failed <= max_failed_fraction * rows:
        return None
    worst, times = Counter(reasons).most_common(1)[0]
    return Failure(
        code="too_many_failed_rows",
        detail=(
            f"{failed} of {rows} rows failed, more than the allowed share of"
            f" {max_failed_fraction:g}; most often {worst} ({times} times)"
        ),
    )
