"""Rows of a job: named by their lines, and in the history for a model that says so, once."""

from __future__ import annotations

from neuralstream_core.history.log import HistoryLog
from neuralstream_core.objects import Objects
from neuralstream_core.outcomes.ids import PredictionId
from neuralstream_core.registry.requests import LogSpec, ModelEdit
from neuralstream_core.table import Table
from neuralstream_core.time import system_clock
from tests.support.aws import Aws
from tests.support.jobs import NAMESPACE, JobHouse, by, linear


def logged(house: JobHouse, aws: Aws) -> list[tuple[str, int, str]]:
    """Request id, position and entity of every row in the history's log."""
    settings = house.settings
    table = Table(aws.client("dynamodb"), settings.history_table, dependency="history")
    log = HistoryLog(
        table, lambda: Objects(house.s3), settings.data_bucket, NAMESPACE, system_clock
    )
    first = log.oldest()
    if first is None:
        return []
    return [
        (part.request_id, at, entity.decode())
        for _, entry in log.entries(first, first + 5)
        for part in entry.parts
        if part.view == "_predictions"
        for at, entity in enumerate(part.entities)
    ]


def test_rows_are_named_by_their_lines_and_logged_once(job_house: JobHouse, aws: Aws) -> None:
    job_house.users(10)
    source = job_house.put("in/a.csv", "entity_id\nu1\nnobody\nu3\n")
    plain = job_house.run(source, max_failed_fraction=1.0)
    assert logged(job_house, aws) == []  # a model says it for itself
    first, failed, last = job_house.rows(plain)
    assert "prediction_id" not in failed
    ids = [PredictionId.parse(row["prediction_id"]) for row in (first, last)]
    assert [(made.model, made.version, made.row) for made in ids] == [
        ("sum", "v1", 2),
        ("sum", "v1", 4),
    ]
    assert ids[0].unique == ids[1].unique
    assert list(last)[-1] == "prediction_id"

    job_house.serve("kept", linear([[1.0, 1.0]]), ["user:a", "user:b"])
    job_house.registry.edit_model("kept", ModelEdit(log=LogSpec(jobs=True)), by())
    job = job_house.submit(source, "kept", max_failed_fraction=1.0)
    (chunk,) = job_house.chunks(job_house.task("plan", job.job_id))
    job_house.task("chunk", job.job_id, chunk=chunk)
    once = logged(job_house, aws)
    job_house.task("chunk", job.job_id, chunk=chunk)
    job_house.task("finish", job.job_id)
    named = [
        row["prediction_id"]
        for row in job_house.rows(job_house.job(job.job_id))
        if "error" not in row
    ]
    assert [entity for _, _, entity in once] == named
    assert set(logged(job_house, aws)) == set(
        once
    )  # what comes twice is known by request and position
