"""Tracing: what reaches the X-Ray daemon when it is on, and that nothing is even imported when it is off."""

import json
import os
import socket
import subprocess
import sys

import pytest

from tests.support.template import ROOT, template

CODE = """
import json, sys
from neuralstream_lambda.access import PUBLIC
from neuralstream_lambda.resolver import Resolver, Response, json_response, needs

app = Resolver("shop")

@app.get("/items", **needs(PUBLIC))
def items() -> Response[str]:
    return json_response('{"secret": "answer"}')

@app.get("/table", **needs(PUBLIC))
def table() -> Response[str]:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError
    config = Config(connect_timeout=1, retries={"total_max_attempts": 1})
    client = boto3.client("dynamodb", endpoint_url="http://127.0.0.1:1", config=config)
    try:
        client.get_item(TableName="t", Key={"PK": {"S": "x"}})
    except BotoCoreError:
        pass
    return json_response('{}')

class Context:
    function_name = "shop"
    aws_request_id = "r"
    get_remaining_time_in_millis = staticmethod(lambda: 1000)

for key in ("GET /items", "GET /table"):
    event = {"routeKey": key, "headers": {}, "requestContext": {"requestId": "r"}}
    assert app.handler(event, Context())["statusCode"] == 200
found = {name.partition(".")[0] for name in sys.modules}
print(json.dumps(sorted(found & {"aws_xray_sdk", "wrapt"})))
"""


@pytest.fixture
def daemon():
    """What the X-Ray daemon of a Lambda environment receives."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(2)
        yield server


def run(daemon, **environ):
    """Names of the modules a fresh process imported for two requests, and the subsegments it sent."""
    given = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "POWERTOOLS_"))}
    given |= {
        "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_XRAY_DAEMON_ADDRESS": f"127.0.0.1:{daemon.getsockname()[1]}",
        "LAMBDA_TASK_ROOT": str(ROOT),
        "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
    } | environ
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
        env=given,
    )
    assert done.returncode == 0, done.stderr
    sent = []
    daemon.setblocking(False)  # the process has ended: what it sent is there
    while True:
        try:
            sent.append(json.loads(daemon.recv(65536).partition(b"\n")[2]))
        except BlockingIOError:
            return json.loads(done.stdout), sent


def test_a_traced_request_shows_the_handler_and_its_calls_and_no_content(daemon):
    _, sent = run(daemon, POWERTOOLS_TRACE_DISABLED="false")
    names = [each["name"] for each in sent]
    assert names.count("## resolve") == 2
    inner = [sub["name"] for each in sent for sub in each.get("subsegments", [])]
    assert "dynamodb" in [*names, *inner]
    assert {each["trace_id"] for each in sent} == {"1-5759e988-bd862e3fe1be46a994272793"}
    assert "secret" not in json.dumps(sent)


@pytest.mark.parametrize("environ", [{}, {"POWERTOOLS_TRACE_DISABLED": "true"}])
def test_without_tracing_nothing_is_imported_or_sent(daemon, environ):
    imported, sent = run(daemon, **environ)
    assert (imported, sent) == ([], [])


def test_the_deployment_traces_exactly_when_its_parameter_says_so():
    variables = template()["Globals"]["Function"]["Environment"]["Variables"]
    assert variables["POWERTOOLS_TRACE_DISABLED"] == {"Fn::If": ["IsTraced", "false", "true"]}
    assert template()["Globals"]["Function"]["Tracing"] == {"Ref": "Tracing"}
