"""Rows that the stack refuses in a write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from neuralstream_client.errors import ApiError, Invalid, RowsRefused
from neuralstream_client.reports import RowFailure, WriteReport
from neuralstream_client.wire import refused_row
from neuralstream_client.writing import Chunk

__all__ = ["refused", "refused_rows"]


def refused(
    report: WriteReport, failures: Sequence[RowFailure], skip: bool, cause: ApiError | None = None
) -> WriteReport:
    """The report with further refused rows.

    Raises:
        RowsRefused: unless ``skip``.
    """
    ordered = sorted([*report.failures, *failures], key=lambda failure: failure.row)
    report = replace(report, failures=tuple(ordered))
    if not skip:
        raise RowsRefused(report) from cause
    return report


def refused_rows(error: Invalid, part: Chunk) -> list[RowFailure]:
    """Refused rows of a request, with their numbers in the table."""
    found = []
    for place in error.places:
        if (named := refused_row(place.loc)) is not None:
            row, what = named
            found.append(RowFailure(part.rows[row], what, place.msg))
    return found
