"""The smoke test against a stack that is well, and against stacks that are not."""

import http.server
import json
import os
import socket
import subprocess
import sys
import threading

import pytest

from neuralstream_core.keys import Scope
from neuralstream_local.keys import key_store
from neuralstream_local.laptop import BUCKET, KEYS_TABLE
from neuralstream_local.smoke import NAME, Files, Smoke, smoke_stack
from tests.support.template import ROOT


@pytest.fixture
def key(stack_with_keys):
    store = key_store(KEYS_TABLE, stack_with_keys.aws_endpoint)
    return store.mint("smoke", [scope.value for scope in Scope]).key


def run(smoke):
    said = []
    failed = smoke.run(said.append)
    return failed, said


def test_every_step_passes_and_is_timed(stack_with_keys, key):
    files = Files(stack_with_keys.client("s3"), BUCKET)
    failed, said = run(Smoke(stack_with_keys.url, key, files))
    assert failed is None, said
    assert [line.split()[0] for line in said[:-1]] == ["ok"] * 12
    assert all(" ms " in line for line in said[:-1])
    assert said[-1].startswith("12 steps passed in ")


def test_a_second_run_leaves_the_same_one_version_and_no_file(stack):
    files = Files(stack.client("s3"), BUCKET)
    for _ in range(2):
        failed, said = run(Smoke(stack.url, files=files))
        assert failed is None, said
    versions = stack.request("GET", f"/models/{NAME}/versions").json()["versions"]
    assert [one["version"] for one in versions] == ["v1"]
    left = stack.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="jobs/smoke/")
    assert left["KeyCount"] == 0


def test_a_key_that_may_not_write_fails_the_step_that_writes_first(stack_with_keys):
    store = key_store(KEYS_TABLE, stack_with_keys.aws_endpoint)
    reader = store.mint("reader", [Scope.FEATURES_READ]).key
    failed, said = run(Smoke(stack_with_keys.url, reader))
    assert failed == "view"
    assert said[-1].startswith(f"FAIL  view: PUT /features/views/{NAME} answered 403")
    assert "missing_scope" in said[-1]


@pytest.fixture
def deployed(stack_with_keys):
    """Clients of an account in which CloudFormation knows the laptop stack by its outputs."""
    body = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {
            "ApiUrl": {"Value": stack_with_keys.url},
            "KeysTableName": {"Value": KEYS_TABLE},
            "DataBucketName": {"Value": BUCKET},
        },
    }
    stack_with_keys.client("cloudformation").create_stack(
        StackName="neuralstream-test", TemplateBody=json.dumps(body)
    )
    yield stack_with_keys.client
    stack_with_keys.client("cloudformation").delete_stack(StackName="neuralstream-test")


def test_a_stack_is_asked_by_its_name_with_a_key_that_is_revoked_afterwards(
    deployed, stack_with_keys
):
    said = []
    assert smoke_stack(deployed, "neuralstream-test", "smoke-42", said.append), said
    assert any("refuse without key" in line for line in said)
    records = key_store(KEYS_TABLE, stack_with_keys.aws_endpoint).list_keys()
    (own,) = [record for record in records if record.principal == "smoke-42"]
    assert own.revoked_at is not None
    assert own.expires_at is not None


@pytest.fixture
def open_door():
    """A server that answers everything as if nobody needed a key."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"status":"ok","version":"0"}')

        def log_message(self, *_):
            """Nothing to the terminal."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_stack_that_answers_without_a_key_fails(open_door):
    assert run(Smoke(open_door, "a key"))[0] == "refuse without key"


def test_a_stack_that_is_not_there_fails_at_its_health():
    with socket.socket() as held:  # bound but not listening: every connection is refused
        held.bind(("127.0.0.1", 0))
        failed, said = run(Smoke(f"http://127.0.0.1:{held.getsockname()[1]}"))
    assert failed == "health"
    assert "refused" in said[-1]


@pytest.mark.parametrize(("url", "status"), [("here", 0), ("http://127.0.0.1:1", 1)])
def test_the_command_ends_with_1_when_a_step_failed(url, status, stack):
    environ = {k: v for k, v in os.environ.items() if k != "NEURALSTREAM_API_KEY"}
    command = [sys.executable, "-m", "neuralstream_local.smoke", "--url"]
    ended = subprocess.run(
        [*command, stack.url if url == "here" else url],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=ROOT,
        env=environ,
    )
    assert ended.returncode == status, ended.stdout + ended.stderr
    assert ("steps passed" in ended.stdout) == (status == 0)
