"""The metric of errors that nobody designed: what a release's alarm adds to Lambda's own ``Errors``.

Lambda counts an ``Error`` only when an exception leaves the handler. A handler that answers 500, or that
reports a failed record, ends well for Lambda; it counts one here instead. The metric is
``NeuralStream`` / ``UnexpectedErrors`` with the dimension ``function`` (the Lambda function's name).
"""

from __future__ import annotations

import os

__all__ = ["METRIC", "count_unexpected"]

METRIC = "UnexpectedErrors"


def count_unexpected() -> None:
    """Count one error, as a log line that CloudWatch turns into a metric."""
    # imported here: a function that never fails never pays for it
    from aws_lambda_powertools import single_metric
    from aws_lambda_powertools.metrics import MetricUnit

    from neuralstream_core.monitoring.emf import NAMESPACE

    with single_metric(name=METRIC, unit=MetricUnit.Count, value=1, namespace=NAMESPACE) as metric:
        metric.add_dimension("function", os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "local"))
