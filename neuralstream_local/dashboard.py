"""Put docs/cloudwatch-dashboard.json into CloudWatch, for one deployed stack.

::

    python -m neuralstream_local.dashboard neuralstream-dev

Needs boto3, AWS credentials that may list the stack's resources and put a dashboard, and a region. The
dashboard has the stack's name; putting it again replaces it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import Any, Final

from neuralstream_local.children import ROOT

__all__ = ["SOURCE", "body", "main", "placeholders", "put"]

SOURCE: Final = ROOT / "docs" / "cloudwatch-dashboard.json"
_PLACEHOLDER: Final = re.compile(r"\$\{([^}]+)\}")


def placeholders() -> set[str]:
    """The names that the file leaves open: ``AWS::Region``, logical ids, ``<logical id>.QueueName``."""
    return set(_PLACEHOLDER.findall(SOURCE.read_text()))


def body(physical: dict[str, str], region: str) -> str:
    """The dashboard's JSON with a stack's own names.

    Args:
        physical: physical id of each of the stack's resources, by logical id.

    Raises:
        KeyError: the stack has no such resource.
    """

    def name(match: re.Match[str]) -> str:
        logical, _, attribute = match[1].partition(".")
        if match[1] == "AWS::Region":
            return region
        # The physical id of a queue is its address, which ends in its name.
        return physical[logical].rpartition("/")[2] if attribute else physical[logical]

    return json.dumps(json.loads(_PLACEHOLDER.sub(name, SOURCE.read_text())))


def put(cloudformation: Any, cloudwatch: Any, stack: str) -> list[dict[str, str]]:
    """Fill the file from the stack's resources and put it under the stack's name.

    Args:
        cloudformation: a boto3 client of the stack's region.
        cloudwatch: a boto3 client of the same region.

    Returns:
        CloudWatch's warnings about the dashboard; empty when it has none.

    Raises:
        botocore.exceptions.ClientError: no such stack, no permission, or a dashboard that is refused.
    """
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    physical = {
        one["LogicalResourceId"]: one.get("PhysicalResourceId", "")
        for page in pages
        for one in page["StackResourceSummaries"]
    }
    filled = body(physical, cloudwatch.meta.region_name)
    answer = cloudwatch.put_dashboard(DashboardName=stack, DashboardBody=filled)
    return list(answer.get("DashboardValidationMessages", []))


def main() -> int:
    """Put the dashboard of one stack; 0 when CloudWatch has nothing to say against it."""
    import boto3

    parser = argparse.ArgumentParser(
        prog="python -m neuralstream_local.dashboard",
        description="Put docs/cloudwatch-dashboard.json into CloudWatch for one stack.",
    )
    parser.add_argument("stack", help="the stack's name, as in samconfig.toml")
    options = parser.parse_args()
    warnings = put(boto3.client("cloudformation"), boto3.client("cloudwatch"), options.stack)
    for warning in warnings:
        sys.stderr.write(f"{warning}\n")
    return 1 if warnings else 0


if __name__ == "__main__":
    sys.exit(main())
