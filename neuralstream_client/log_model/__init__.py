"""A fitted model to a served version, proven to be the model before anything is uploaded."""

from __future__ import annotations

from neuralstream_client.log_model.errors import (
    ConversionError,
    LogModelError,
    ParityError,
    WorstRow,
)
from neuralstream_client.log_model.logged import Logged
from neuralstream_client.log_model.options import Options, named_by, views_of
from neuralstream_client.log_model.prepare import Prepared, Report, prepare

__all__ = [
    "ConversionError",
    "LogModelError",
    "Logged",
    "Options",
    "ParityError",
    "Prepared",
    "Report",
    "WorstRow",
    "named_by",
    "prepare",
    "views_of",
]
