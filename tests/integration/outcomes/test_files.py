"""Outcomes from a file: taken in by a job's tasks, as the state machine calls them."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from neuralstream_core.backfill.outcome_records import OutcomesJob
from neuralstream_core.backfill.outcome_work import OutcomesWork
from neuralstream_core.jobs.records import JobKind
from neuralstream_core.jobs.store import Jobs
from neuralstream_core.objects import Location
from neuralstream_core.outcomes.intake import Intake
from neuralstream_core.serving.batch.locations import Buckets
from neuralstream_core.time import from_micros, iso, system_clock
from tests.integration.outcomes.conftest import Outcomes
from tests.support.outcomes import NAMESPACE, LoggedPrediction, named

HOUR = 3600 * 1_000_000


@dataclass
class Files:
    """Files of outcomes of model ``m``, and the jobs that take them in."""

    outcomes: Outcomes
    work: OutcomesWork

    def run(self, name: str, data: bytes, **body: Any) -> OutcomesJob:
        """Ask for a job over HTTP and do its tasks, each chunk twice."""
        house = self.outcomes.house
        at = Location(house.bucket, f"jobs/in/{name}")
        house.objects.write(at, data, "text/plain")
        status, answer = self.outcomes.call(
            "POST /outcomes", {"model": "m", "input": str(at), **body}
        )
        assert (status, answer["kind"]) == (202, "outcomes"), answer
        job_id = answer["job_id"]
        planned = self.work.plan(job_id)
        for chunk in json.loads(house.objects.read(Location(planned.bucket, planned.key))):
            self.work.chunk(job_id, chunk)
            self.work.chunk(job_id, chunk)
        return self.work.finish(job_id)


@pytest.fixture
def files(outcomes: Outcomes) -> Files:
    house = outcomes.house
    house.bucket = outcomes.module.settings.data_bucket
    kinds = {JobKind.OUTCOMES: OutcomesJob}
    jobs = Jobs(house.registry, NAMESPACE, system_clock, kinds)
    intake = Intake(house.log, house.history_table, NAMESPACE, house.clock)
    buckets = Buckets.of(house.bucket, "")
    work = OutcomesWork(jobs, house.objects, buckets, house.bucket, house.clock, intake)
    return Files(outcomes, work)


@pytest.fixture
def known(outcomes: Outcomes) -> list[LoggedPrediction]:
    """Six predictions of 1, an hour ago."""
    outcomes.version("m", "v1")
    at = outcomes.house.clock() - HOUR
    found = [
        LoggedPrediction(
            named("m", "v1", at + i, str(i)), at + i, "v1", label="1", value=1.0, entity=f"u{i}"
        )
        for i in range(6)
    ]
    outcomes.log("m", "p", found)
    return found


def accuracy(files: Files) -> tuple[float, int]:
    report = files.outcomes.performance("m")
    (version,) = report["versions"]
    return version["metrics"]["accuracy"]["value"], version["n"]


def test_a_csv_whose_wrong_rows_are_listed(files: Files, known: list[LoggedPrediction]) -> None:
    later = iso(files.outcomes.house.clock() - HOUR // 2)
    lines = ["prediction_id,label,observed_at", f"{known[0].id},1,", f"{known[1].id},0,{later}"]
    lines += [f"{known[2].id},,", "nothing,1,", f"{known[3].id},1,yesterday", f"{known[4].id},1.0,"]
    done = files.run("a.csv", "\n".join(lines).encode(), max_failed_fraction=0.5)
    assert done.status == "SUCCEEDED"
    assert done.outcome is not None
    counts = done.outcome
    assert (counts.rows, counts.failed, counts.accepted) == (6, 3, 3)
    assert counts.versions == {"v1": 3}
    assert counts.reasons == {
        "invalid_label": 1,
        "invalid_prediction_id": 1,
        "invalid_timestamp": 1,
    }
    (errors,) = counts.errors
    listed = files.outcomes.house.objects.read(Location.parse(errors)).splitlines()
    assert [json.loads(line)["line"] for line in listed] == [4, 5, 6]
    assert accuracy(files) == (pytest.approx(2 / 3), 3)


def test_json_lines_by_entity_and_time(files: Files, known: list[LoggedPrediction]) -> None:
    rows: list[dict[str, Any]] = [
        {"user": p.entity, "when": iso(p.at), "truth": truth}
        for p, truth in zip(known, [1, True, 1.0, "1", 0], strict=False)
    ]
    rows.append({"user": "u5", "truth": 1})
    columns = {"entity_id": "user", "predicted_at": "when", "label": "truth"}
    data = "\n".join(map(json.dumps, rows)).encode()
    done = files.run("b.jsonl", data, columns=columns)
    assert done.status == "FAILED"  # a sixth of the rows is wrong
    assert done.outcome is not None
    assert done.outcome.reasons == {"missing_timestamp": 1}
    assert accuracy(files) == (pytest.approx(4 / 5), 5)


def test_parquet_with_times_of_another_zone(files: Files, known: list[LoggedPrediction]) -> None:
    half = from_micros(files.outcomes.house.clock() - HOUR // 2)
    frame = pl.DataFrame(
        {
            "prediction_id": [p.id for p in known],
            "label": [1, 1, 1, 1, 0, 0],
            "observed_at": [half.astimezone(UTC)] * 6,
            "more": ["x"] * 6,
        }
    )
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    done = files.run("c.parquet", buffer.getvalue())
    assert (done.status, done.progress.rows) == ("SUCCEEDED", 6)
    assert accuracy(files) == (pytest.approx(4 / 6), 6)
    # what came later and says so corrects
    rows = [
        {"prediction_id": known[5].id, "label": 1, "observed_at": datetime.now(UTC).isoformat()}
    ]
    assert files.outcomes.send("m", rows)[0] == 200
    assert accuracy(files) == (pytest.approx(5 / 6), 6)


def test_what_no_job_can_be(files: Files) -> None:
    files.outcomes.version("m", "v1")

    def sent(**body: Any) -> tuple[int, Any]:
        return files.outcomes.call("POST /outcomes", {"model": "m", **body})

    assert sent()[0] == 422
    assert sent(input="s3://elsewhere/x.csv")[0] == 422
    assert sent(input=f"s3://{files.outcomes.house.bucket}/jobs/in/none.csv")[0] == 404
    assert sent(rows=[{"prediction_id": "x", "label": 1}], timezone="UTC")[0] == 422
    both = {"prediction_id": "a", "entity_id": "b"}
    assert sent(input="s3://b/x.csv", columns=both)[0] == 422


def test_messages_are_kept_one_by_one(files: Files, known: list[LoggedPrediction]) -> None:
    sent = files.outcomes.house.clock() // 1000

    def record(name: str, body: Any) -> dict[str, Any]:
        text = body if isinstance(body, str) else json.dumps(body)
        return {"messageId": name, "body": text, "attributes": {"SentTimestamp": str(sent)}}

    def outcome(prediction: LoggedPrediction, label: Any, model: str = "m") -> dict[str, Any]:
        return {"model": model, "rows": [{"prediction_id": prediction.id, "label": label}]}

    event = {
        "Records": [
            record("good", outcome(known[0], 1)),
            record("other model", outcome(known[1], 1, "other")),
            record("not JSON", "{"),
            record("wrong too", outcome(known[2], None)),
            record("good too", outcome(known[1], 0)),
        ]
    }
    for _ in range(2):
        failed = files.outcomes.module.ingest_handler(event, None)["batchItemFailures"]
        assert [each["itemIdentifier"] for each in failed] == [
            "other model",
            "not JSON",
            "wrong too",
        ]
        assert accuracy(files) == (0.5, 2)
