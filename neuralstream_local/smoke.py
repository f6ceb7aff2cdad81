"""Run the README's flow against a stack, step by step.

::

    python -m neuralstream_local.smoke neuralstream-dev
    NEURALSTREAM_API_KEY=... python -m neuralstream_local.smoke --url https://... [--bucket NAME]

Each step prints its time. The first that fails is named with what came back, and the exit status is 1.

With the name of a CloudFormation stack it mints a key for the run and revokes it afterwards; the key never
leaves the process, and ends after a day in any case. That needs a region and AWS credentials that may
describe the stack, write its keys table and write ``jobs/smoke/`` of its bucket. With ``--url``, a batch job
is run only if ``--bucket`` names the bucket.

What it leaves behind: one view and one model, always the same two (`NAME`), since the API deletes neither
a version nor a view that one reads. Registering is idempotent for each principal, so a person who runs it
again adds no version; a deployment, which has a principal of its own, adds one. The rows written end with
the view's time to live, one hour. The job's files are deleted.
"""

from __future__ import annotations

import argparse
import getpass
import hashlib
import json
import os
import secrets
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import urllib3

from neuralstream_core.time import to_micros
from neuralstream_local.children import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["NAME", "Files", "Smoke", "main", "smoke_stack"]

NAME: Final = "neuralstream_smoke"
"""Of the view and of the model."""

_ROW: Final = {"tenure_months": 4, "monthly_charges": 79.5, "support_tickets": 3}
_PROBABILITY: Final = 0.87
"""Of the quickstart's model for `_ROW`, to two digits, as the README shows it."""
_REGISTER: Final = ROOT / "examples" / "quickstart" / "register.json"
_REQUEST_SECONDS: Final = 35
"""An HTTP API ends a request after 30 s."""
_READY_SECONDS: Final = 60
_ROUTING_SECONDS: Final = 30
_JOB_SECONDS: Final = 600
_POLL_SECONDS: Final = 0.5


class _Failed(Exception):
    """A step's answer is not the expected one; the message says what came back."""


class Files(NamedTuple):
    """Where the batch job's files go: an S3 client, and a bucket that the stack's jobs may use."""

    client: Any
    bucket: str


class Smoke:
    """The steps against one stack; each needs those before it.

    Args:
        url: base URL of the API.
        api_key: sent with every request; ``None`` for a laptop stack that asks for none.
        files: ``None`` leaves out the batch job.
    """

    def __init__(self, url: str, api_key: str | None = None, files: Files | None = None) -> None:
        self._url = url.rstrip("/")
        self._key = api_key
        self._files = files
        self._entity = f"smoke-{secrets.token_hex(6)}"
        self._version = ""

    def steps(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """Name and action of each step; an action returns what it found, in a few words."""
        yield "health", self._health
        if self._key is not None:
            yield "refuse without key", self._refusal
        yield "view", self._view
        yield "write", self._write
        yield "read", self._read
        yield "register", self._register
        yield "promote", self._promote
        yield "predict", self._predict
        yield "batch", self._batch
        if self._files is not None:
            yield "job", self._job
        yield "lineage", self._lineage
        yield "stats", self._stats

    def run(self, say: Callable[[str], object]) -> str | None:
        """Do the steps, each told to ``say``, until one fails: its name, or ``None``."""
        begun = time.monotonic()
        count = 0
        for name, action in self.steps():
            start = time.monotonic()
            try:
                found = action()
            except Exception as error:  # noqa: BLE001 - whatever it is, the step must be named
                kind = "" if isinstance(error, _Failed) else f"{type(error).__name__}: "
                say(f"FAIL  {name}: {kind}{error}")
                return name
            count += 1
            say(f"ok    {name:<20}{1000 * (time.monotonic() - start):>8.0f} ms  {found}")
        say(f"{count} steps passed in {time.monotonic() - begun:.1f} s")
        return None

    def _health(self) -> str:
        # Just after a deployment the first answers may come from a function that is still starting.
        answer = self._until(
            lambda: self._send("GET", "/health"), lambda got: got[0] == 200, _READY_SECONDS
        )
        _expect(answer[0] == 200, answer)
        return f"version {answer[1]['version']}"

    def _refusal(self) -> str:
        answer = self._send("GET", "/models")
        _expect(answer[0] == 401, answer)
        return "401"

    def _view(self) -> str:
        body = {
            "entity": "user_id",
            "ttl_seconds": 3600,
            "features": [
                {"name": name, "dtype": "int64" if isinstance(value, int) else "float64"}
                for name, value in _ROW.items()
            ],
            "description": "written by the smoke test",
        }
        answer = self._call("PUT", f"/features/views/{NAME}", body)
        return f"schema version {answer['schema_version']}"

    def _write(self) -> str:
        body = {"feature_view": NAME, "entity_id": self._entity, "features": _ROW}
        answer = self._call("POST", "/features/write", body)
        _expect(answer["written"] == 1, answer)
        return "1 row"

    def _read(self) -> str:
        answer = self._call("GET", f"/features/{NAME}/{self._entity}")
        _expect(answer["features"] == _ROW, answer)
        return "what was written"

    def _register(self) -> str:
        text = _REGISTER.read_text().replace("user_features:", f"{NAME}:")
        key = f"smoke-{hashlib.sha256(text.encode()).hexdigest()[:32]}"
        path = f"/models/{NAME}/versions"
        answer = self._call("POST", path, json.loads(text), **{"idempotency-key": key})
        _expect(answer["status"] == "READY", answer)
        self._version = answer["version"]
        return self._version

    def _promote(self) -> str:
        model = self._call("GET", f"/models/{NAME}")
        if model["production_version"] != self._version:
            body = {"reason": "smoke test"}
            model = self._call("POST", f"/models/{NAME}/promote/{self._version}", body)
        _expect(model["production_version"] == self._version, model)
        return f"{self._version} in production"

    def _predict(self) -> str:
        body = {"entity_id": self._entity, "return_features": True}
        # A promotion reaches every process within ten seconds; until then the version before it answers.
        answer = self._until(
            lambda: self._call("POST", f"/predict/{NAME}", body),
            lambda got: got["version"] == self._version,
            _ROUTING_SECONDS,
        )
        _expect(answer["version"] == self._version and answer["features"] == _ROW, answer)
        _expect(abs(answer["probability"] - _PROBABILITY) < 0.005, answer)
        return f"probability {answer['probability']:.2f}, {answer['latency_ms']:.1f} ms inside"

    def _batch(self) -> str:
        body = {"entity_ids": [self._entity, f"{self._entity}-unknown"]}
        answer = self._call("POST", f"/predict/{NAME}/batch", body)
        _expect(answer["count"] == 2 and answer["failed"] == 1, answer)
        return "1 prediction, 1 unknown entity named"

    def _job(self) -> str:
        assert self._files is not None  # noqa: S101 - steps() offers the job only with files
        client, bucket = self._files
        folder = f"jobs/smoke/{self._entity}/"
        client.put_object(
            Bucket=bucket, Key=f"{folder}input.csv", Body=f"entity_id\n{self._entity}\n".encode()
        )
        try:
            body = {
                "input": f"s3://{bucket}/{folder}input.csv",
                "output": f"s3://{bucket}/{folder}",
            }
            job = self._call("POST", f"/predict/{NAME}/batch", body)
            job = self._until(
                lambda: self._call("GET", f"/jobs/{job['job_id']}"),
                lambda got: got["status"] not in ("PENDING", "RUNNING"),
                _JOB_SECONDS,
            )
            _expect(job["status"] == "SUCCEEDED" and job["progress"]["rows"] == 1, job)
            return f"{job['job_id']}, 1 row"
        finally:
            for item in client.list_objects_v2(Bucket=bucket, Prefix=folder).get("Contents", []):
                client.delete_object(Bucket=bucket, Key=item["Key"])

    def _lineage(self) -> str:
        versions = self._call("GET", f"/models/{NAME}/lineage")["versions"]
        views = [
            v for one in versions if one["version"] == self._version for v in one["feature_views"]
        ]
        _expect(bool(views) and views[0]["view"] == NAME, versions)
        return f"{self._version} from {NAME} at schema version {views[0]['schema_version']}"

    def _stats(self) -> str:
        versions = self._call("GET", f"/monitoring/stats?model={NAME}&window=1h")["versions"]
        counted = sum(one["requests"] for one in versions if one["version"] == self._version)
        _expect(counted >= 1, versions)
        return f"{counted} requests counted in the last hour"

    def _call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The decoded answer, which must be a success."""
        keys = {"x-api-key": self._key} if self._key is not None else {}
        status, answer = self._send(method, path, body, **keys, **headers)
        _expect(200 <= status < 300, f"{method} {path} answered {status} {answer}")
        return answer

    def _send(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and decoded answer of one request on a connection of its own."""
        answer = urllib3.request(
            method,
            self._url + path,
            body=None if body is None else json.dumps(body),
            headers={"content-type": "application/json", **headers},
            timeout=_REQUEST_SECONDS,
            retries=False,
        )
        return answer.status, _decoded(answer.data)

    def _until(self, ask: Callable[[], Any], done: Callable[[Any], bool], seconds: float) -> Any:
        """The first answer that is ``done``, or the last one when ``seconds`` have passed."""
        deadline = time.monotonic() + seconds
        while not done(answer := ask()) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return answer


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data[:500].decode("utf-8", "replace")


def _expect(holds: bool, got: object) -> None:
    if not holds:
        raise _Failed(str(got)[:2000])


def smoke_stack(
    client: Callable[[str], Any], stack: str, principal: str, tell: Callable[[str], object]
) -> bool:
    """Mint a key, run every step with it, and revoke it; whether all steps passed.

    Args:
        client: makes a boto3 client of the service named.
        stack: the CloudFormation stack's name.
        principal: who the key belongs to; appears in the stack's audit events.
        tell: is called with each step's line.

    Raises:
        botocore.exceptions.ClientError: there is no such stack, or something is not permitted.
    """
    from neuralstream_core.keys import KeyStore, Scope
    from neuralstream_core.table import Table

    described = client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in described.get("Outputs", [])}
    store = KeyStore(Table(client("dynamodb"), outputs["KeysTableName"]))
    tomorrow = to_micros(datetime.now(UTC) + timedelta(days=1))
    minted = store.mint(principal, list(Scope), expires_at=tomorrow, description="smoke test")
    try:
        files = Files(client("s3"), outputs["DataBucketName"])
        return Smoke(outputs["ApiUrl"], minted.key, files).run(tell) is None
    finally:
        store.revoke(minted.record.key_id)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps; 0 when all passed, 1 when one failed."""
    import boto3

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stack", nargs="?", help="the stack's name, as in samconfig.toml")
    parser.add_argument("--principal", default=f"smoke-{getpass.getuser()}", help="of the key")
    parser.add_argument("--url", help="instead of a stack's name: its output ApiUrl")
    parser.add_argument(
        "--api-key",
        default=os.environ.get("NEURALSTREAM_API_KEY", ""),
        help="a key with all scopes; default: NEURALSTREAM_API_KEY",
    )
    parser.add_argument("--bucket", help="the stack's output DataBucketName: runs a batch job too")
    parser.add_argument("--endpoint", help="AWS address of the laptop stack; not for real AWS")
    options = parser.parse_args(arguments)
    if (options.stack is None) is (options.url is None):
        parser.error("either a stack's name or --url is needed")
    client: Any = partial(boto3.client, endpoint_url=options.endpoint)
    if options.stack is not None:
        passed = smoke_stack(client, options.stack, options.principal, _say)
    else:
        files = Files(client("s3"), options.bucket) if options.bucket else None
        passed = Smoke(options.url, options.api_key or None, files).run(_say) is None
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
