"""What became of the rows of a table that was written."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RowFailure", "WriteReport"]


@dataclass(frozen=True, slots=True)
class RowFailure:
    """One place of a table that was refused.

    Args:
        row: number of the row in the table, from 0.
        place: what is wrong: a feature, ``entity_id`` or ``event_timestamp``.
        message: why.
    """

    row: int
    place: str
    message: str

    def __str__(self) -> str:
        return f"row {self.row}, {self.place}: {self.message}"


@dataclass(frozen=True, slots=True)
class WriteReport:
    """What became of a table's rows; ``written + stale + refused`` is their number if all were sent.

    Args:
        view: the feature view.
        rows: of the table.
        written: rows of which at least one value was stored.
        stale: rows all of whose values are older than the stored ones.
        stale_cells: older values in written rows, which were not stored.
        requests: sent.
        failures: the refused places, in the order of the rows.
    """

    view: str
    rows: int
    written: int = 0
    stale: int = 0
    stale_cells: int = 0
    requests: int = 0
    failures: tuple[RowFailure, ...] = ()

    @property
    def refused(self) -> int:
        """Number of rows that were refused."""
        return len({failure.row for failure in self.failures})

    @property
    def ok(self) -> bool:
        """Whether no row was refused."""
        return not self.failures
