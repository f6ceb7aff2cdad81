"""The client's smoke test against a deployed stack by its name, with a key and a batch job of its own.

::

    python -m neuralstream_local.smoke neuralstream-dev

Each step prints its time. The first that fails is named with what came back, and the exit status is 1.

It mints a key for the run and revokes it afterwards; the key never leaves the process, and ends after a day
in any case. That needs a region and AWS credentials that may describe the stack, write its keys table and
write ``jobs/smoke/`` of its bucket. A stack that is known by its address and a key alone is tried by
``neuralstream smoke``.

What it leaves behind: one model, always the same (`NAME`), since the API deletes none; each run adds two
versions to it. The view and the job's files are deleted.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import boto3

from neuralstream_client import NeuralStream
from neuralstream_client.command.flow import Flow, Step
from neuralstream_core.keys import KeyStore, Scope
from neuralstream_core.table import Table
from neuralstream_core.time import to_micros

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["NAME", "main", "smoke_stack"]

NAME: Final = "neuralstream_smoke"
"""Of the model."""

_JOB_SECONDS: Final = 600.0


def smoke_stack(
    client: Callable[[str], Any], stack: str, principal: str, tell: Callable[[Step], object]
) -> bool:
    """Mint a key, take every step with it, and revoke it; whether all steps passed.

    Args:
        client: makes a boto3 client of the service named.
        stack: the CloudFormation stack's name.
        principal: who the key belongs to; appears in the stack's audit events.
        tell: is called with each step.

    Raises:
        botocore.exceptions.ClientError: there is no such stack, or something is not permitted.
    """
    described = client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in described.get("Outputs", [])}
    store = KeyStore(Table(client("dynamodb"), outputs["KeysTableName"]))
    tomorrow = to_micros(datetime.now(UTC) + timedelta(days=1))
    scopes = [scope for scope in Scope if scope is not Scope.KEYS]
    minted = store.mint(principal, scopes, expires_at=tomorrow, description="smoke test")
    job = partial(_job, client("s3"), outputs["DataBucketName"])
    try:
        with NeuralStream(outputs["ApiUrl"], minted.key) as ns:
            steps = Flow(ns, model=NAME, job=job).run(tell)
    finally:
        store.revoke(minted.record.key_id)
    return all(step.status != "failed" for step in steps)


def _job(
    client: Any, bucket: str, ns: NeuralStream, model: str, version: str, entity_id: str
) -> str:
    """Run a batch job of one entity, and delete its files."""
    folder = f"jobs/smoke/{entity_id}/"
    place = f"s3://{bucket}/{folder}"
    body = f"entity_id\n{entity_id}\n".encode()
    client.put_object(Bucket=bucket, Key=f"{folder}input.csv", Body=body)
    try:
        job = ns.jobs.run(
            model,
            version=version,
            input=f"{place}input.csv",
            output=place,
            timeout=_JOB_SECONDS,
        )
        return f"{job.job_id}, {job.progress.rows} row"
    finally:
        for item in client.list_objects_v2(Bucket=bucket, Prefix=folder).get("Contents", []):
            client.delete_object(Bucket=bucket, Key=item["Key"])


def _say(step: Step) -> None:
    sys.stdout.write(f"{step.status:<8}{step.name:<20}{step.milliseconds:>8.0f} ms  {step.found}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Take the steps; 0 when all passed, 1 when one failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stack", help="the stack's name, as in samconfig.toml")
    parser.add_argument("--principal", default=f"smoke-{getpass.getuser()}", help="of the key")
    parser.add_argument("--endpoint", help="AWS address of the laptop stack; not for real AWS")
    options = parser.parse_args(arguments)
    client: Any = partial(boto3.client, endpoint_url=options.endpoint)
    return 0 if smoke_stack(client, options.stack, options.principal, _say) else 1


if __name__ == "__main__":
    sys.exit(main())
