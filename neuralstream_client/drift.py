"""A drift report that becomes a frame."""

from __future__ import annotations

from typing import Any

from neuralstream_client.answers import DriftReport
from neuralstream_client.extras import extra

__all__ = ["Drift"]

_COLUMNS = (
    "feature",
    "kind",
    "status",
    "severity",
    "psi",
    "threshold",
    "n_reference",
    "n_current",
    "sentence",
)


class Drift(DriftReport):
    """A drift report of one version: all fields of the answer, and the most needed views of it."""

    @property
    def sentence(self) -> str:
        """The report in one sentence."""
        return self.summary

    @property
    def drifted(self) -> list[str]:
        """Names of the series whose status is ``drift``."""
        return [series.feature for series in self.series if series.status == "drift"]

    @property
    def records(self) -> list[dict[str, Any]]:
        """One dict for each series."""
        return [{name: getattr(series, name) for name in _COLUMNS} for series in self.series]

    def to_pandas(self) -> Any:
        """A pandas frame with one row for each series.

        Raises:
            ConfigurationError: pandas is not installed.
        """
        return extra("pandas", "pandas").DataFrame(self.records, columns=list(_COLUMNS))
