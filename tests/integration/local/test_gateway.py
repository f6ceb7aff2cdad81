"""The gateway in front of small functions of a template of its own: concurrency, authorizer, failures."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from neuralstream_lambda.payload import MAX_PAYLOAD
from neuralstream_local.functions import FunctionPool, Functions, TimedOut
from neuralstream_local.gateway import Gateway
from neuralstream_local.http_server import MAX_BODY, HttpServer
from neuralstream_local.template import Function, Template
from tests.support.poll import eventually
from tests.support.stack import request

TEMPLATE = """
Globals: {Function: {Environment: {Variables: {GREETING: hello}}}}
Resources:
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      Auth:
        DefaultAuthorizer: Keys
        Authorizers:
          Keys:
            FunctionArn: !GetAtt AuthorizerFunction.Arn
            Identity: {Headers: [x-api-key], ReauthorizeEvery: 60}
  EchoFunction:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: echo
      CodeUri: echo
      Handler: app.handler
      Timeout: 7
      Environment: {Variables: {WHO: !Ref AWS::StackName}}
      Events:
        Echo: {Type: HttpApi, Properties: {Method: POST, Path: "/echo/{name}"}}
        Open: {Type: HttpApi, Properties: {Method: GET, Path: /open, Auth: {Authorizer: NONE}}}
        Fail: {Type: HttpApi, Properties: {Method: GET, Path: /fail}}
        Size: {Type: HttpApi, Properties: {Method: POST, Path: /size}}
  BrokenFunction:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: broken
      CodeUri: broken
      Handler: app.handler
      Events:
        Broken: {Type: HttpApi, Properties: {Method: GET, Path: /broken}}
  StuckFunction:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: stuck
      CodeUri: stuck
      Handler: app.handler
      Timeout: 1
      Events:
        Stuck: {Type: HttpApi, Properties: {Method: GET, Path: "/stuck/{way}"}}
  AuthorizerFunction:
    Type: AWS::Serverless::Function
    Properties: {FunctionName: authorizer, CodeUri: authorizer, Handler: app.handler}
"""

ECHO = """
import os, threading
from helper import SHOUT
greeting = os.environ["GREETING"] + " " + os.environ["WHO"]
busy = threading.Lock()

def handler(event, context):
    if event["rawPath"] == "/fail":
        raise RuntimeError("as asked")
    if event["rawPath"] == "/size":
        return {"size": len(event["body"])}
    if not busy.acquire(blocking=False):
        return {"overlap": True}
    try:
        if (event.get("headers") or {}).get("x-wait"):
            threading.Event().wait(float(event["headers"]["x-wait"]))
        return {
            "greeting": greeting, "shout": SHOUT, "overlap": False,
            "authorizer": event["requestContext"].get("authorizer"),
            "path": event.get("pathParameters"), "body": event.get("body"),
            "left": context.get_remaining_time_in_millis(), "name": context.function_name,
        }
    finally:
        busy.release()
"""

STUCK = """
import threading

def handler(event, context):
    way = event["pathParameters"]["way"]
    if way == "waits":
        threading.Event().wait(30)
    while way == "spins":
        pass
    if way == "asked":
        event["release"].wait(30)
    return {"stuck": way != "never"}
"""

AUTHORIZER = """
asked = []

def handler(event, context):
    key = event["identitySource"][0]
    asked.append(key)
    if key == "boom":
        raise RuntimeError("as asked")
    return {"isAuthorized": key != "bad", "context": {"principal": key, "asked": len(asked)}}
"""


@pytest.fixture
def serve(tmp_path):
    for folder, files in {
        "echo": {"app.py": ECHO, "helper.py": "SHOUT = 'HEY'"},
        "authorizer": {"app.py": AUTHORIZER},
        "stuck": {"app.py": STUCK},
        "broken": {"app.py": "raise ImportError('as asked')"},
    }.items():
        (tmp_path / folder).mkdir()
        for name, text in files.items():
            (tmp_path / folder / name).write_text(text)
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE)
    template = Template(path, {"AWS::StackName": "lab", "AWS::Region": "r", "AWS::AccountId": "1"})
    servers = []

    def start(*, auth):
        server = HttpServer(
            Gateway(template, Functions(template.functions().values()), auth=auth), 0
        )
        thread = threading.Thread(target=server.serve)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.port}"

    yield start
    for server, thread in servers:
        server.stop()
        thread.join()


def test_a_function_gets_its_variables_modules_parameters_and_time(serve):
    answer = request(serve(auth=False), "POST", "/echo/a%2Fb%20c", {"x": 1}).json()

    assert answer["greeting"] == "hello lab"
    assert answer["shout"] == "HEY"
    assert answer["path"] == {"name": "a/b c"}
    assert answer["body"] == '{"x": 1}'
    assert answer["name"] == "echo"
    assert 6000 < answer["left"] <= 7000


def test_without_authentication_every_scope_is_granted(serve):
    url = serve(auth=False)

    granted = request(url, "POST", "/echo/x").json()["authorizer"]["lambda"]
    assert {"features:read", "models:write", "predict"} <= set(granted["scopes"].split())
    assert request(url, "GET", "/open").json()["authorizer"] is None


def test_the_authorizer_decides_and_its_decision_is_kept(serve):
    url = serve(auth=True)

    def ask(key):
        return request(url, "POST", "/echo/x", headers={"x-api-key": key} if key else {})

    assert (ask(None).status, ask(None).json()) == (401, {"message": "Unauthorized"})
    assert (ask("bad").status, ask("bad").json()) == (403, {"message": "Forbidden"})
    assert (ask("boom").status, ask("boom").json()) == (500, {"message": "Internal Server Error"})
    first, second = ask("alice"), ask("alice")
    assert first.json()["authorizer"]["lambda"]["principal"] == "alice"
    assert first.json()["authorizer"] == second.json()["authorizer"]
    assert request(url, "GET", "/open").status == 200


def test_calls_at_once_run_in_environments_of_their_own(serve):
    url = serve(auth=False)
    together = threading.Barrier(6)

    def call(_):
        together.wait()
        return request(url, "POST", "/echo/x", headers={"x-wait": "0.1"}).json()["overlap"]

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(call, range(6))) == [False] * 6


def test_a_slow_call_does_not_hold_up_another(serve):
    url = serve(auth=False)
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(request, url, "POST", "/echo/x", None, {"x-wait": "3"})
        for _ in range(20):
            assert request(url, "GET", "/open").status == 200
        assert not slow.done()
        assert slow.result().status == 200


@pytest.mark.parametrize("path", ["/fail", "/broken"])
def test_a_function_that_fails_is_an_internal_error_without_detail(serve, path):
    answer = request(serve(auth=False), "GET", path)

    assert (answer.status, answer.json()) == (500, {"message": "Internal Server Error"})


@pytest.mark.parametrize("way", ["waits", "spins"])
def test_a_call_beyond_its_functions_timeout_fails_and_the_function_serves_on(serve, way):
    url = serve(auth=False)

    with ThreadPoolExecutor(3) as threads:
        stuck = [threads.submit(request, url, "GET", f"/stuck/{way}") for _ in range(3)]
        assert request(url, "GET", "/open").status == 200
        for call in stuck:
            answer = call.result()
            assert (answer.status, answer.json()) == (500, {"message": "Internal Server Error"})
    assert request(url, "GET", "/stuck/never").json() == {"stuck": False}


def test_a_function_with_too_many_calls_that_do_not_end_fails_promptly_and_recovers(tmp_path):
    (tmp_path / "app.py").write_text(STUCK)
    function = Function("Stuck", "stuck", tmp_path, "app", "handler", {}, timeout=1, memory=128)
    pool = FunctionPool(function)
    release = threading.Event()
    event = {"pathParameters": {"way": "asked"}, "release": release}

    with ThreadPoolExecutor(6) as threads:
        for call in [threads.submit(pool, event) for _ in range(6)]:
            with pytest.raises(TimedOut, match=r"timed out after 1\.00 seconds"):
                call.result()
    with pytest.raises(TimedOut):
        pool({"pathParameters": {"way": "never"}})
    release.set()

    def recovered():
        with suppress(TimedOut):
            return pool({"pathParameters": {"way": "never"}}) == {"stuck": False}

    assert eventually(recovered)


def test_unknown_routes_are_api_gateways_own_404(serve):
    url = serve(auth=False)

    for method, path in (("GET", "/nope"), ("GET", "/echo/x"), ("DELETE", "/open")):
        answer = request(url, method, path)
        assert (answer.status, answer.json()) == (404, {"message": "Not Found"})


BEYOND = {
    "plain": (b"x" * MAX_PAYLOAD, MAX_PAYLOAD),
    "quotes": (b'"' * (MAX_PAYLOAD // 2), MAX_PAYLOAD),
    "line breaks": (b"\n" * (MAX_PAYLOAD // 2), MAX_PAYLOAD),
    "four-byte characters": ("😀".encode() * (MAX_PAYLOAD // 4), MAX_PAYLOAD),
    "more than API Gateway takes": (b"x" * (MAX_BODY + 1), MAX_BODY),
}


@pytest.mark.parametrize(("body", "limit"), BEYOND.values(), ids=BEYOND.keys())
def test_a_body_that_lambda_would_not_take_is_refused_with_limit_and_ways_out(serve, body, limit):
    headers = {"content-type": "application/json"}
    answer = request(serve(auth=False), "POST", "/echo/x", body, headers)

    told = json.loads(answer.data)["message"]
    assert answer.status == 413
    assert told.startswith("Request Entity Too Large")
    assert str(limit) in told
    assert "POST /models/{name}/versions" in told
    assert "POST /predict/{model_name}/batch" in told


@pytest.mark.parametrize("character", [b"x", b'"', b"\n", "😀".encode()])
def test_three_million_bytes_reach_the_function_whatever_they_are_made_of(serve, character):
    body = character * (3_000_000 // len(character))
    headers = {"content-type": "application/json"}
    answer = request(serve(auth=False), "POST", "/size", body, headers)

    assert (answer.status, answer.json()) == (200, {"size": len(body.decode())})
