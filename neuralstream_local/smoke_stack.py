"""The smoke test against a CloudFormation stack, with an API key minted for it and revoked after it.

::

    python -m neuralstream_local.smoke_stack neuralstream-dev

Needs a region and AWS credentials that may describe the stack, write its keys table and write
``jobs/smoke/`` of its bucket. The key never leaves the process, and ends after a day in any case. The exit
status is that of the smoke test.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from neuralstream_core.keys import KeyStore, Scope
from neuralstream_core.table import Table
from neuralstream_core.time import to_micros
from neuralstream_local.smoke import Files, Smoke, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["main", "smoke_stack"]


def smoke_stack(
    client: Callable[[str], Any], stack: str, principal: str, tell: Callable[[str], object]
) -> bool:
    """Mint a key, run every step of the smoke test with it, and revoke it.

    Args:
        client: makes a boto3 client of the service named.
        principal: who the key belongs to; appears in the stack's audit events.
        tell: is called with each step's line.

    Returns:
        Whether all steps passed.

    Raises:
        botocore.exceptions.ClientError: there is no such stack, or something is not permitted.
    """
    described = client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in described.get("Outputs", [])}
    store = KeyStore(Table(client("dynamodb"), outputs["KeysTableName"]))
    minted = store.mint(
        principal,
        [scope.value for scope in Scope],
        expires_at=to_micros(datetime.now(UTC) + timedelta(days=1)),
        description="smoke test",
    )
    try:
        files = Files(client("s3"), outputs["DataBucketName"])
        return Smoke(outputs["ApiUrl"], minted.key, files).run(tell) is None
    finally:
        store.revoke(minted.record.key_id)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run against one stack; 0 when all steps passed, 1 when one failed."""
    import boto3

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stack", help="the stack's name, as in samconfig.toml")
    parser.add_argument("--principal", default=f"smoke-{getpass.getuser()}")
    options = parser.parse_args(arguments)
    build: Any = boto3.client  # the stubs know only literal names of services
    return 0 if smoke_stack(build, options.stack, options.principal, say) else 1


if __name__ == "__main__":
    sys.exit(main())
