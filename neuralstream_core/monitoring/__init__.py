"""Monitoring: counts of what was served in fixed bins, and the statistics and alarms made of them.

`binning` makes a profile from a baseline, `recorder` counts under it, `reader` and `archive` read the counts,
`drift` and `stats` make reports of them, `evaluation` makes alarms of the reports.
"""

from neuralstream_core.monitoring.observation import (
    AnyObservation,
    Observation,
    Recorder,
    RowObservation,
)

__all__ = ["AnyObservation", "Observation", "Recorder", "RowObservation"]
