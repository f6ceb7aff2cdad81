"""From a prediction over HTTP to its outcome in the report, on the laptop stack."""

from __future__ import annotations

import json
import uuid
from typing import Any

from neuralstream_local.laptop import BUCKET, STACK
from tests.support.poll import eventually
from tests.support.stack import RunningStack
from tests.support.stack_jobs import finished, serve


def test_outcomes_by_request_by_file_and_by_queue_meet_their_predictions(
    stack: RunningStack,
) -> None:
    model = serve(stack, 3)
    predicted: list[dict[str, Any]] = []
    for user in range(3):
        answer = stack.request("POST", f"/predict/{model}", {"entity_id": f"u{user}"})
        assert answer.status == 200, answer.data
        predicted.append(answer.json())
        assert answer.headers["x-prediction-id"] == predicted[-1]["prediction_id"]
    row = {"prediction_id": predicted[0]["prediction_id"], "label": predicted[0]["prediction"]}
    sent = stack.request("POST", "/outcomes", {"model": model, "rows": [row]})
    assert sent.json() == {"model": model, "accepted": 1, "versions": {"v1": 1}}

    second, third = predicted[1:]
    key = f"jobs/in/{uuid.uuid4().hex}.csv"
    data = f"prediction_id,label\n{second['prediction_id']},{second['prediction'] + 2}\n"
    stack.client("s3").put_object(Bucket=BUCKET, Key=key, Body=data.encode())
    body = {"model": model, "input": f"s3://{BUCKET}/{key}"}
    accepted = stack.request("POST", "/outcomes", body)
    assert accepted.status == 202, accepted.data

    sqs = stack.client("sqs")
    queue = next(url for url in sqs.list_queues()["QueueUrls"] if url.endswith("OutcomesQueue"))
    row = {"prediction_id": third["prediction_id"], "label": third["prediction"] - 4}
    message = {"model": model, "rows": [row]}
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(message))

    job = finished(stack, accepted.json()["job_id"])
    assert (job["status"], job["outcome"]["accepted"]) == ("SUCCEEDED", 1), job
    invoke = stack.client("lambda").invoke
    drained = invoke(
        FunctionName=f"{STACK}-outcomes-scheduled", Payload=json.dumps({"task": "drain"})
    )
    assert drained["StatusCode"] == 200

    def report() -> Any:
        found = stack.request("GET", f"/monitoring/performance?model={model}&window=1h").json()
        return found if found["versions"] and found["versions"][0]["n"] == 3 else None

    found = eventually(report)
    (version,) = found["versions"]
    assert (version["version"], version["coverage"], found["unmatched"]) == ("v1", 1.0, 0)
    assert version["metrics"]["mae"]["value"] == 2.0
    assert version["metrics"]["bias"]["value"] == 2 / 3
