"""Copy every item of a restored table into the live one.

::

    python -m neuralstream_local.copy_table RESTORED LIVE

An item of the live table with the same key is replaced, others stay. ``outbox`` attributes are left out:
they would start jobs and send alerts a second time. Copying again changes nothing.
Needs boto3, AWS credentials for both tables, and a region.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final

__all__ = ["copy", "main"]

_BATCH: Final = 25
"""Items that one BatchWriteItem takes."""


def copy(client: Any, source: str, target: str) -> int:
    """Copy all items from ``source`` to ``target``.

    Args:
        client: a boto3 DynamoDB client, whose retries bound how long throttling is waited for.

    Returns:
        How many were copied.

    Raises:
        botocore.exceptions.ClientError: a table is missing, or access or throughput is refused.
    """
    copied = 0
    for page in client.get_paginator("scan").paginate(TableName=source):
        items = [{k: v for k, v in item.items() if k != "outbox"} for item in page["Items"]]
        for start in range(0, len(items), _BATCH):
            puts = [{"PutRequest": {"Item": item}} for item in items[start : start + _BATCH]]
            waiting = {target: puts}
            while waiting:
                waiting = client.batch_write_item(RequestItems=waiting)["UnprocessedItems"]
            copied += len(puts)
    return copied


def main() -> int:
    """Copy one table; 0 when every item was written."""
    import boto3
    from botocore.config import Config

    parser = argparse.ArgumentParser(
        prog="python -m neuralstream_local.copy_table",
        description="Copy a restored table's items into the live table.",
    )
    parser.add_argument("source", help="the restored table")
    parser.add_argument("target", help="the live table")
    options = parser.parse_args()
    client = boto3.client("dynamodb", config=Config(retries={"mode": "adaptive"}))
    sys.stdout.write(f"{copy(client, options.source, options.target)} items copied\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
