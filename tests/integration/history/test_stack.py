"""The laptop stack keeps history with the same code: what came by HTTP and what came by the queue."""

from __future__ import annotations

import json
import uuid

from neuralstream_core.history.log import HistoryLog, slot_of
from neuralstream_core.objects import Objects
from neuralstream_core.table import Table
from neuralstream_core.time import system_clock
from neuralstream_local.laptop import BUCKET, HISTORY_TABLE, STACK
from tests.support.poll import eventually
from tests.support.stack import RunningStack


def test_rows_of_a_request_and_of_a_message_are_in_the_history(stack: RunningStack) -> None:
    name = f"kept-{uuid.uuid4().hex[:8]}"
    view = {"entity": "id", "features": [{"name": "a", "dtype": "int64"}]}
    made = stack.request("PUT", f"/features/views/{name}", view)
    assert (made.status, made.json()["history"]) == (201, True)
    log = HistoryLog(
        Table(stack.client("dynamodb"), HISTORY_TABLE, dependency="history"),
        lambda: Objects(stack.client("s3")),
        BUCKET,
        "default",
        system_clock,
    )
    began = slot_of(system_clock())

    def entities() -> dict[str, str]:
        """The request of each entity of this view."""
        return {
            entity.decode(): part.request_id
            for _, entry in log.entries(began, slot_of(system_clock()))
            for part in entry.parts
            if part.view == name
            for entity in part.entities
        }

    body = {"feature_view": name, "entity_id": "by-http", "features": {"a": 1}}
    written = stack.request("POST", "/features/write", body)
    assert written.status == 200
    (request_id,) = entities().values()
    assert request_id.startswith(written.headers["x-request-id"] + "/")
    sqs = stack.client("sqs")
    queue = next(url for url in sqs.list_queues()["QueueUrls"] if url.endswith("IngestQueue"))
    message = sqs.send_message(
        QueueUrl=queue, MessageBody=json.dumps(body | {"entity_id": "by-queue"})
    )
    eventually(lambda: "by-queue" in entities())
    assert entities()["by-queue"] == message["MessageId"]


def test_the_compaction_runs_on_the_laptop(stack: RunningStack) -> None:
    """By its schedule; here at once, as anybody may."""
    answer = stack.client("lambda").invoke(
        FunctionName=f"{STACK}-history", Payload=json.dumps({"task": "compact"})
    )
    done = json.loads(answer["Payload"].read())
    assert done.get("behind", 0) == 0, done
    assert "slots" in done or done == {"raced": True}
