"""GET /health while parts are down: the function in a process of its own, as Lambda starts it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ASK = """
import json
import app

class Context:
    def get_remaining_time_in_millis(self):
        return 10_000

event = {"routeKey": "GET /health", "requestContext": {"requestId": "r"}, "headers": {}}
print(json.dumps(app.lambda_handler(event, Context())))
"""


@pytest.fixture
def nobody():
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def ask(environ):
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        env={**os.environ, **environ},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer, json.loads(answer["body"])


@pytest.mark.parametrize(
    "down",
    [
        (),
        ("redis",),
        ("history",),
        ("registry", "history"),
        ("redis", "registry", "history"),
    ],
)
def test_health_names_what_is_down(redis_server, aws, table_name, history_table, nobody, down):
    environ = {
        **aws.environ,
        "PYTHONPATH": os.pathsep.join(
            str(ROOT / part) for part in ("functions/monitoring", "layers/core", ".")
        ),
        "NEURALSTREAM_TABLE": table_name,
        "NEURALSTREAM_DATA_BUCKET": "not-used",
        "NEURALSTREAM_HISTORY_TABLE": "gone" if "history" in down else history_table,
        "NEURALSTREAM_REDIS_HOST": "127.0.0.1",
        "NEURALSTREAM_REDIS_PORT": str(nobody if "redis" in down else redis_server.port),
    }
    if "registry" in down:
        endpoints = [name for name in environ if name.startswith("AWS_ENDPOINT_URL")]
        environ |= dict.fromkeys(endpoints, f"http://127.0.0.1:{nobody}")
        assert endpoints
    answer, body = ask(environ)
    assert answer["statusCode"] == (503 if down else 200)
    assert body["status"] == ("degraded" if down else "ok")
    assert {name for name, state in body["checks"].items() if state != "ok"} == set(down)
    assert ("retry-after" in answer["headers"]) == bool(down)
