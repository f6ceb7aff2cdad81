"""CloudWatch metrics through Powertools: log lines in Embedded Metric Format, no call leaves the function.

All metrics have the namespace ``NeuralStream``. Powertools is imported on first use, so a function that
emits nothing does not load it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from neuralstream_core.monitoring.evaluation import Metrics
    from neuralstream_core.time import Micros

__all__ = ["NAMESPACE", "count_unexpected", "emit", "function_dimension"]

NAMESPACE: Final = "NeuralStream"


def emit(at: Micros, dimensions: Mapping[str, str], metrics: Metrics) -> None:
    """Publish ``metrics`` as of ``at``, all with the same ``dimensions``."""
    from aws_lambda_powertools.metrics import EphemeralMetrics

    line = EphemeralMetrics(namespace=NAMESPACE)
    line.set_timestamp(at // 1000)
    for name, value in dimensions.items():
        line.add_dimension(name, value)
    for name, (number, unit) in metrics.items():
        line.add_metric(name, unit, number)
    line.flush_metrics()


def count_unexpected() -> None:
    """Count one error that nobody designed: ``UnexpectedErrors`` by ``function``, the function's name.

    Lambda counts an ``Error`` only when an exception leaves the handler. A handler that answers 500, or
    that reports a failed record, counts one here; a release's alarm adds both.
    """
    from aws_lambda_powertools import single_metric
    from aws_lambda_powertools.metrics import MetricUnit

    with single_metric("UnexpectedErrors", MetricUnit.Count, 1, namespace=NAMESPACE) as metric:
        for name, value in function_dimension().items():
            metric.add_dimension(name, value)


def function_dimension() -> dict[str, str]:
    """The dimension ``function``: name of the function that runs this."""
    return {"function": os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "local")}
