"""A fitted model to a served version, proven to be the model before anything is uploaded."""

from __future__ import annotations

from neuralstream_client.log_model.errors import (
    ConversionError,
    LogModelError,
    ParityError,
    WorstRow,
)
from neuralstream_client.log_model.prepare import Options, Prepared, Report, prepare

__all__ = [
    "ConversionError",
    "LogModelError",
    "Options",
    "ParityError",
    "Prepared",
    "Report",
    "WorstRow",
    "prepare",
]
