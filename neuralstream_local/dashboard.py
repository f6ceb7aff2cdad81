"""Put docs/cloudwatch-dashboard.json into CloudWatch, for one deployed stack.

::

    python -m neuralstream_local.dashboard neuralstream-dev

Needs boto3, AWS credentials that may list the stack's resources and put a dashboard, and a region. The
dashboard has the stack's name; putting it again replaces it.
"""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any, Final

from neuralstream_local.children import ROOT

__all__ = ["PLACEHOLDER", "SOURCE", "main", "put"]

SOURCE: Final = ROOT / "docs" / "cloudwatch-dashboard.json"
PLACEHOLDER: Final = re.compile(r"\$\{([^}]+)\}")
"""What the file leaves open: ``AWS::Region``, logical ids, ``<logical id>.QueueName``."""


def put(cloudformation: Any, cloudwatch: Any, stack: str) -> list[dict[str, str]]:
    """Fill the file from the stack's resources and put it; CloudWatch's warnings about it.

    Args:
        cloudformation: a boto3 client of the stack's region, as is ``cloudwatch``.

    Raises:
        KeyError: the stack lacks a resource that the file names.
        botocore.exceptions.ClientError: no such stack, no permission, or a dashboard that is refused.
    """
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    values = {"AWS::Region": cloudwatch.meta.region_name}
    for page in pages:
        for one in page["StackResourceSummaries"]:
            logical, physical = one["LogicalResourceId"], one.get("PhysicalResourceId", "")
            values[logical] = physical
            # The physical id of a queue is its address, which ends in its name.
            values[f"{logical}.QueueName"] = physical.rpartition("/")[2]
    body = PLACEHOLDER.sub(lambda match: values[match[1]], SOURCE.read_text())
    answer = cloudwatch.put_dashboard(DashboardName=stack, DashboardBody=body)
    return list(answer.get("DashboardValidationMessages", []))


def main() -> int:
    """Put the dashboard of one stack; 0 when CloudWatch has no warning about it."""
    import boto3

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stack", help="the stack's name, as in samconfig.toml")
    options = parser.parse_args()
    warnings = put(boto3.client("cloudformation"), boto3.client("cloudwatch"), options.stack)
    for warning in warnings:
        sys.stderr.write(f"{warning}\n")
    return 1 if warnings else 0


if __name__ == "__main__":
    sys.exit(main())
