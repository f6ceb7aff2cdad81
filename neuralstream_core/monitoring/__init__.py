"""Monitoring that can be believed: counts per fixed bin, and statistics that know their sample size.

`profile` and `baseline` decide the bins, `recorder` counts with one flight to Redis, `drift` and
`stats` read the counts back, `archive` keeps them. Import the module you need; only
`observation` is cheap enough for everybody.
"""

from neuralstream_core.monitoring.observation import (
    AnyObservation,
    Observation,
    Recorder,
    RowObservation,
)

__all__ = ["AnyObservation", "Observation", "Recorder", "RowObservation"]
