"""CloudWatch metrics as log lines (Embedded Metric Format): no call leaves the function for them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from neuralstream_core.time import Micros

__all__ = ["NAMESPACE", "Unit", "line"]

NAMESPACE: Final = "NeuralStream"

Unit = Literal["Count", "Milliseconds", "Percent", "None"]


def line(
    now: Micros, dimensions: Mapping[str, str], metrics: Mapping[str, tuple[float, Unit]]
) -> str:
    """One log line that CloudWatch turns into ``metrics`` with all of ``dimensions``.

    The specification: at most 100 metrics and 30 dimensions a line.
    """
    body = {
        "_aws": {
            "Timestamp": now // 1000,
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [list(dimensions)],
                    "Metrics": [
                        {"Name": name, "Unit": unit} for name, (_, unit) in metrics.items()
                    ],
                }
            ],
        },
        **dimensions,
        **{name: value for name, (value, _) in metrics.items()},
    }
    return json.dumps(body, allow_nan=False)
