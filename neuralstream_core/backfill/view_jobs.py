"""Jobs between the online store and the history of one view, named by it: rebuilds and adoptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import Field

from neuralstream_core.errors import Conflict
from neuralstream_core.features.catalog import Catalog
from neuralstream_core.jobs.records import JobKind, JobRecord, NewJob
from neuralstream_core.jobs.store import Jobs
from neuralstream_core.types import Frozen, Name

__all__ = ["ViewJob", "ViewJobs"]


class _Spec(Frozen):
    """Which view."""

    feature_view: Name


class ViewJob(JobRecord):
    """A job on the rows of a view."""

    feature_view: Name = Field(description="the view whose rows are meant")


J = TypeVar("J", bound=ViewJob)


@dataclass(frozen=True, slots=True)
class ViewJobs(Generic[J]):
    """Accepts jobs of one kind."""

    jobs: Jobs[J]
    catalog: Catalog
    kind: JobKind

    def submit(self, view: str, actor: str, *, key: str | None = None) -> J:
        """Accept a job; arguments as `Jobs.submit`.

        Raises:
            NotFound: no such view.
            Conflict: the view keeps no history, or ``key`` was used for another request.
        """
        if not self.catalog.latest(view).history:
            raise Conflict(f"view {view} keeps no history", code="view_without_history")
        return self.jobs.submit(NewJob(self.kind, _Spec(feature_view=view)), actor, key=key)
