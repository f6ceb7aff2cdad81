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
from typing import Any

__all__ = ["copy", "main"]


def copy(client: Any, source: str, target: str) -> int:
    """Copy all items from ``source`` to ``target``; how many they were.

    Args:
        client: a boto3 DynamoDB client, whose retries bound how long throttling is waited for.

    Raises:
        botocore.exceptions.ClientError: a table is missing, or access or throughput is refused.
    """
    from boto3.dynamodb.table import BatchWriter

    copied = 0
    with BatchWriter(target, client) as writer:
        for page in client.get_paginator("scan").paginate(TableName=source):
            for item in page["Items"]:
                writer.put_item({k: v for k, v in item.items() if k != "outbox"})
            copied += len(page["Items"])
    return copied


def main() -> int:
    """Copy one table; 0 when every item was written."""
    import boto3
    from botocore.config import Config

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", help="the restored table")
    parser.add_argument("target", help="the live table")
    options = parser.parse_args()
    client = boto3.client("dynamodb", config=Config(retries={"mode": "adaptive"}))
    sys.stdout.write(f"{copy(client, options.source, options.target)} items copied\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
