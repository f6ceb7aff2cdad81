"""The commands of docs/schedules.md, run as they are written."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from neuralstream_local.stack import Stack
from tests.support.stack import request

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "schedules.md").read_text()


def commands():
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return re.split(r"^(?=curl |printf )", "\n".join(blocks), flags=re.MULTILINE)[1:]


@pytest.fixture(scope="module")
def printed():
    """What each command printed, in order, with the README's model in production."""
    features = [
        {"name": "tenure_months", "dtype": "int64"},
        {"name": "monthly_charges", "dtype": "float64"},
        {"name": "support_tickets", "dtype": "int64"},
    ]
    register = json.loads((ROOT / "examples/quickstart/register.json").read_text())
    with Stack() as running:
        for method, path, body in (
            ("PUT", "/features/views/user_features", {"entity": "user_id", "features": features}),
            ("POST", "/models/churn_model/versions", register),
            ("POST", "/models/churn_model/promote/v1", None),
        ):
            assert request(running.url, method, path, body).status < 300
        found = []
        for command in commands():
            here = command.replace("http://127.0.0.1:8000", running.url)
            here = here.replace("http://127.0.0.1:8001", running.aws_endpoint)
            run = subprocess.run(
                ["/bin/sh", "-c", here], capture_output=True, text=True, check=True, timeout=60
            )
            found.append((command, run.stdout))
        yield found


def test_every_command_of_the_page_is_answered_and_none_is_refused(printed):
    assert len(printed) == 6
    for command, output in printed:
        if "-sT" in command:
            assert output == "", output
        else:
            assert "code" not in json.loads(output), (command, output)


def test_the_nightly_schedule_tells_its_next_files(printed):
    answer = json.loads(printed[0][1])
    assert answer["next_run"]["scheduled_time"].endswith(("T01:00:00Z", "T02:00:00Z"))
    assert re.fullmatch(r".*/churn/\d{4}/\d\d/\d\d\.csv", answer["next_run"]["input"])


def test_the_page_names_every_field_of_the_body():
    document = json.loads((ROOT / "functions/console/openapi.json").read_text())
    body = document["components"]["schemas"]["ScheduleSpec"]["properties"]
    assert [field for field in body if f"`{field}`" not in PAGE] == []
