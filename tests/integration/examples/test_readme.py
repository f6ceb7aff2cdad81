"""The README's commands, run as they are written, print what the README says."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from examples.flights.load import load
from neuralstream_local.stack import Stack

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def printed():
    """What each ``curl`` of the README printed, in order, against a stack as `make run` leaves it."""
    text = "\n".join(block for block in blocks("sh") if "curl" in block)
    commands = [part.strip() for part in re.split(r"^(?=curl )", text, flags=re.MULTILINE) if part]
    with Stack() as running:
        load(running.url)
        return [
            (command, shell(command.replace("http://127.0.0.1:8000", running.url)))
            for command in commands
        ]


def shell(command):
    return subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    ).stdout


def test_every_command_is_answered_and_none_is_refused(printed):
    assert len(printed) == README.count("\ncurl ")
    for command, output in printed:
        answer = json.loads(output)
        assert "code" not in answer, (command, answer)


def test_the_prediction_is_the_one_shown(printed):
    shown = json.loads(next(block for block in blocks("json") if '"churn_model"' in block))
    got = next(json.loads(out) for cmd, out in printed if "/predict/churn_model" in cmd)
    assert list(got) == list(shown)
    assert got["probability"] == pytest.approx(shown["probability"], abs=0.005)
    for key in ("model", "version", "entity_id", "prediction", "features"):
        assert got[key] == shown[key]
