"""Which jobs the runs of a schedule made.

The run of a job is an item beside the job's record, in its partition with sort key ``RUN``, listed by
scheduled time under ``GSI1PK=RUNS#{ns}#{schedule}``.
"""

from __future__ import annotations

from typing import NamedTuple

from neuralstream_core.table import Item, Page, Table
from neuralstream_core.time import Micros
from neuralstream_core.types import Name

__all__ = ["Run", "run_item", "runs_of"]


class Run(NamedTuple):
    """One run of a schedule."""

    schedule: Name
    scheduled: Micros

    @property
    def key(self) -> str:
        """Idempotency key of the run's job; no caller can send it, as a header holds no line break."""
        return f"schedule\n{self.schedule}\n{self.scheduled}"


def run_item(namespace: str, run: Run, job: Item) -> Item:
    """The item that lists the job of ``run``."""
    return {
        "PK": job["PK"],
        "SK": "RUN",
        "GSI1PK": _listing(namespace, run.schedule),
        "GSI1SK": f"{run.scheduled:020d}",
        "job_id": job["job_id"],
    }


def runs_of(table: Table, namespace: str, schedule: str, limit: int) -> Page:
    """The items of a schedule's last runs, newest scheduled time first."""
    return table.query(_listing(namespace, schedule), index=True, limit=limit, newest_first=True)


def _listing(namespace: str, schedule: str) -> str:
    return f"RUNS#{namespace}#{schedule}"
