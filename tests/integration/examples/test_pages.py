"""The commands of the pages that tell of one running stack, run as written and in this order."""

import json
import re
import subprocess

import pytest

from examples.flights.load import load
from neuralstream_local.stack import Stack
from tests.support.documents import blocks
from tests.support.template import ROOT

PAGES = ("README.md", "docs/features.md", "docs/serving.md", "docs/schedules.md")


def commands(page):
    text = "\n".join(block for block in blocks(page) if "curl" in block)
    return re.split(r"^(?=curl |printf )", text, flags=re.MULTILINE)[1:]


@pytest.fixture(scope="module")
def printed():
    """What each command printed, by page, against a stack as `make run` leaves it."""
    with Stack() as running:
        load(running.url)

        def shell(command):
            here = command.replace("http://127.0.0.1:8000", running.url)
            here = here.replace("http://127.0.0.1:8001", running.aws_endpoint)
            output = subprocess.run(
                ["/bin/sh", "-c", here],
                capture_output=True,
                text=True,
                check=True,
                cwd=ROOT,
                timeout=60,
            ).stdout
            return json.loads(output) if output else None  # S3 answers an upload with nothing

        return {page: [(command, shell(command)) for command in commands(page)] for page in PAGES}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_is_answered_and_none_is_refused(printed, page):
    assert len(printed[page]) == len(
        re.findall(r"^(?:curl|printf) ", (ROOT / page).read_text(), re.MULTILINE)
    )
    for command, answer in printed[page]:
        if "-sT" not in command:
            assert "code" not in answer, (command, answer)


def test_the_readmes_prediction_is_the_one_shown(printed):
    shown = json.loads(
        next(block for block in blocks("README.md", "json") if '"churn_model"' in block)
    )
    got = next(
        answer for command, answer in printed["README.md"] if "/predict/churn_model" in command
    )
    assert list(got) == list(shown)
    assert got["probability"] == pytest.approx(shown["probability"], abs=0.005)
    for key in ("model", "version", "entity_id", "prediction", "features"):
        assert got[key] == shown[key]


def test_the_nightly_schedule_tells_its_next_files(printed):
    answer = printed["docs/schedules.md"][0][1]
    assert answer["next_run"]["scheduled_time"].endswith(("T01:00:00Z", "T02:00:00Z"))
    assert re.fullmatch(r".*/churn/\d{4}/\d\d/\d\d\.csv", answer["next_run"]["input"])


def test_the_schedules_page_names_every_field_of_the_body():
    document = json.loads((ROOT / "functions/console/openapi.json").read_text())
    body = document["components"]["schemas"]["ScheduleSpec"]["properties"]
    page = (ROOT / "docs/schedules.md").read_text()
    assert [field for field in body if f"`{field}`" not in page] == []


def test_a_row_that_was_written_is_read_and_one_that_was_not_is_a_row_of_not_found(printed):
    *_, (_, one), (_, many), _, _, _ = printed["docs/features.md"]
    assert one["features"] == {"orders": 1, "spent": None}
    assert one["status"] == {"spent": "NOT_FOUND"}
    assert [row["entity_id"] for row in many["results"]] == ["c1", "c2", "c3"]
    assert set(many["results"][2]["status"].values()) == {"NOT_FOUND"}


def shown_columns(page):
    """The answer by column that a page shows."""
    answers = map(json.loads, blocks(page, "json"))
    (shown,) = [answer for answer in answers if "columns" in answer]
    return shown


def test_columns_are_answered_as_the_page_shows(printed):
    *_, (_, written), (_, columns), _ = printed["docs/features.md"]
    assert (written["written"], written["stale"]) == (2, 0)
    shown = shown_columns("docs/features.md")
    one, other, none = columns.pop("event_timestamps")
    assert one == other
    assert none is None
    del shown["event_timestamps"]
    assert columns == shown


def test_what_was_written_of_an_entity_is_answered_as_the_page_shows(printed):
    (command, answer) = printed["docs/features.md"][-1]
    assert "/history?" in command
    (shown,) = [
        each for each in map(json.loads, blocks("docs/features.md", "json")) if "rows" in each
    ]
    assert answer.keys() == shown.keys()
    for given, told in zip(answer["rows"], shown["rows"], strict=True):
        assert given.keys() == told.keys()
        assert (given["features"], given["source"]) == (told["features"], told["source"])
    assert answer["rows"][-1]["event_timestamp"] == shown["rows"][-1]["event_timestamp"]
    assert answer["next_token"] is shown["next_token"] is None


def test_predictions_in_columns_are_answered_as_the_page_shows(printed):
    (answer,) = [
        answer for command, answer in printed["docs/serving.md"] if '"layout": "columns"' in command
    ]
    shown = shown_columns("docs/serving.md")
    for varying in ("latency_ms", "timestamp"):
        assert type(answer.pop(varying)) is type(shown.pop(varying))
    for given in (answer, shown):
        ids = given["columns"].pop("prediction_id")
        assert [p and p.partition(":")[0] for p in ids] == ["churn_model", None]
        rounded = [p and round(p, 6) for p in given["columns"]["probability"]]
        given["columns"]["probability"] = rounded
    assert answer == shown


def test_the_second_version_is_promoted_and_taken_back(printed):
    answers = [answer for command, answer in printed["docs/serving.md"] if "/models/" in command]
    assert answers[0]["version"] == "v2"
    assert answers[-1]["production_version"] == "v1"
