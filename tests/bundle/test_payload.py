"""Our measure of an answer against the runtime's own encoder: what we let through, Lambda takes."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuralstream_core.errors import TooLarge
from neuralstream_lambda.payload import MAX_PAYLOAD, bounded, payload_size
from tests.bundle.emulator import RUNTIME

MARSHALLER = """
import json, sys
from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller
marshaller = LambdaMarshaller()
for line in sys.stdin:
    text, _ = marshaller.marshal_response(json.loads(line))
    print(len(text.encode("utf-8")), flush=True)
"""


@pytest.fixture(scope="module")
def marshalled():
    """Bytes that the real runtime sends for an answer."""
    with subprocess.Popen(
        [sys.executable, "-S", "-c", MARSHALLER],
        env={
            "PYTHONPATH": str(Path(RUNTIME).resolve()),
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.12",
            "PYTHONIOENCODING": "utf-8",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def size(answer):
            process.stdin.write(json.dumps(answer) + "\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield size
        process.stdin.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.text(st.characters(exclude_categories=["Cs"])),
    headers=st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=3),
    status=st.integers(200, 599),
)
def test_we_measure_what_the_runtime_sends(marshalled, body, headers, status):
    answer = {
        "statusCode": status,
        "headers": {k.encode("utf-8", "ignore").decode(): "x" for k in headers},
        "body": body,
        "isBase64Encoded": False,
    }

    assert payload_size(answer) == marshalled(answer)


@pytest.mark.parametrize("character", ['"', "\\", "\n", "\x00", "\x7f", "é", "中", "😀", "\u2028"])
@pytest.mark.parametrize("share", [0.16, 0.25, 0.5, 0.74, 1.0])
def test_an_answer_at_the_limit_is_taken_or_refused_before_lambda_would(
    marshalled, character, share
):
    count = int(MAX_PAYLOAD * share) // len(character.encode())
    answer = {"statusCode": 200, "headers": {"x": "y"}, "body": character * count}
    packed = base64.b64encode(answer["body"].encode()).decode()
    forms = [answer, {**answer, "body": packed, "isBase64Encoded": True}]
    if any(marshalled(form) <= MAX_PAYLOAD for form in forms):
        assert marshalled(bounded(answer, "ask for less")) <= MAX_PAYLOAD
        return
    with pytest.raises(TooLarge, match=rf"{MAX_PAYLOAD} that Lambda allows; ask for less"):
        bounded(answer, "ask for less")
