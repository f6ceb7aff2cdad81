"""CloudWatch metrics as the log lines (Embedded Metric Format) that carry them."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["metric_lines", "unexpected_errors"]


def metric_lines(output: str) -> list[dict[str, Any]]:
    """The lines of ``output`` that CloudWatch would turn into metrics."""
    found = []
    for line in output.splitlines():
        try:
            parsed = json.loads(line)
        except ValueError:
            continue
        if isinstance(parsed, dict) and "_aws" in parsed:
            found.append(parsed)
    return found


def unexpected_errors(output: str) -> float:
    """The sum of ``UnexpectedErrors`` that a deployment's alarm would see."""
    total = 0.0
    for line in metric_lines(output):
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        names = [metric["Name"] for metric in directive["Metrics"]]
        if "UnexpectedErrors" in names and directive["Namespace"] == "NeuralStream":
            assert directive["Dimensions"] == [["function"]]
            value = line["UnexpectedErrors"]
            total += sum(value) if isinstance(value, list) else value
    return total
