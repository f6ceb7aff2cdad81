"""What a check of the online store against the history found, and where that is kept.

Items ``PK=CONSISTENCY#{ns}``, ``SK={view}`` of the registry table: the last check of each view.
"""

from __future__ import annotations

from pydantic import AwareDatetime, Field

from neuralstream_core.table import Table
from neuralstream_core.types import Name, Record

__all__ = ["CellCounts", "ConsistencyReports", "ViewConsistency"]


class CellCounts(Record):
    """Cells of one feature, by what the check found; expired ones are not compared."""

    match: int = Field(
        default=0, description="the same value and event time online as in the history"
    )
    mismatch: int = Field(default=0, description="another value, or another event time")
    missing: int = Field(default=0, description="in the history only")
    extra: int = Field(default=0, description="online only")
    unadopted: int = Field(
        default=0,
        description="online only, or newer online, in a view whose history is not complete:"
        " `/features/views/{name}/adopt` takes them into it",
    )

    @property
    def wrong(self) -> int:
        """Cells that are not as they should be."""
        return self.mismatch + self.missing + self.extra


class ViewConsistency(Record):
    """The last check of a view."""

    feature_view: Name = Field(description="the view")
    checked_at: AwareDatetime = Field(description="when, UTC")
    entities: int = Field(description="entities that were compared")
    share: float = Field(
        description="share of the view's entities that were compared, by hash: other ones each time"
    )
    features: dict[str, CellCounts] = Field(description="cells by feature")

    @property
    def wrong(self) -> int:
        """Cells that are not as they should be."""
        return sum(counts.wrong for counts in self.features.values())


class ConsistencyReports:
    """The last check of each view of one namespace."""

    def __init__(self, table: Table, namespace: str) -> None:
        self._table, self._partition = table, f"CONSISTENCY#{namespace}"

    def put(self, report: ViewConsistency) -> None:
        """Keep a report in the place of the view's last one."""
        data = report.model_dump_json()
        self._table.put({"PK": self._partition, "SK": report.feature_view, "report": data})

    def delete(self, view: str) -> None:
        """Forget the report of a view that is gone."""
        self._table.delete(self._partition, view)

    def all(self) -> list[ViewConsistency]:
        """The reports by view."""
        found = self._table.query_all(self._partition)
        return [ViewConsistency.model_validate_json(item["report"]) for item in found]
