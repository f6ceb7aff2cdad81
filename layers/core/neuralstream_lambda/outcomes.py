"""The outcomes function's parts, built from settings, and its scheduled tasks."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from neuralstream_core.settings import RedisSettings
from neuralstream_core.time import system_clock
from neuralstream_lambda.metrics import emit, function_dimension
from neuralstream_lambda.performance import OutcomesFileSettings
from neuralstream_lambda.wiring import history_log, redis_port

if TYPE_CHECKING:
    from neuralstream_core.outcomes.drain import Drain

__all__ = ["OutcomesSettings", "drained"]

_SECONDS: Final = 50.0
"""No further stream is begun after this time, as the next run is due."""


class OutcomesSettings(RedisSettings, OutcomesFileSettings):
    """What the routes and the scheduled tasks read and write."""


def drained(settings: OutcomesSettings) -> dict[str, int]:
    """Move the prediction log from Redis into the history; how many of what.

    Raises:
        Unavailable: try again.
    """
    done = _drain(settings).run(_SECONDS)
    emit(
        system_clock(),
        function_dimension(),
        {
            "PredictionsLogged": (done.rows, "Count"),
            "PredictionLogAgeMilliseconds": (done.oldest_ms, "Milliseconds"),
            "PredictionLogOverflow": (done.overflowed, "Count"),
            "PredictionLogLostBytes": (done.lost_bytes, "Bytes"),
            "PredictionLogDamaged": (done.damaged, "Count"),
        },
    )
    return done._asdict()


@cache
def _drain(settings: OutcomesSettings) -> Drain:
    from neuralstream_core.outcomes.drain import Drain

    return Drain(redis_port(settings), history_log(settings), settings.namespace, system_clock)
