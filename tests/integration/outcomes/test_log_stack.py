"""The prediction log on the whole stack: predicted over HTTP, drained by its schedule's task."""

from __future__ import annotations

import base64
import json

from tests.support.jobs import linear
from tests.support.stack import RunningStack


def test_predictions_over_http_are_logged_and_drained(stack: RunningStack) -> None:
    artifact = base64.b64encode(linear([[1.0]], [0.5])).decode()
    view = {"entity": "id", "features": [{"name": "x", "dtype": "float64"}]}
    assert stack.request("PUT", "/features/views/drained", view).status == 201
    version = {"format": "linear", "artifact_base64": artifact, "features": ["drained:x"]}
    assert stack.request("POST", "/models/drained/versions", version).status == 201
    assert stack.request("POST", "/models/drained/promote/v1").status == 200
    asked = {"entity_id": "a", "features": {"x": 2.0}}
    answer = stack.request("POST", "/predict/drained", asked)
    assert answer.status == 200, answer.data
    assert answer.headers["x-prediction-id"] == answer.json()["prediction_id"]

    reply = stack.client("lambda").invoke(
        FunctionName="neuralstream-local-outcomes-scheduled", Payload=json.dumps({"task": "drain"})
    )
    done = json.loads(reply["Payload"].read())
    assert (done["damaged"], done["behind"], done["lost_bytes"]) == (0, 0, 0)
    (counted,) = stack.request("GET", "/monitoring/stats?model=drained").json()["versions"]
    assert (counted["logged"], counted["overflowed"]) == (1, 0)
