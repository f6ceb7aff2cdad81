"""Every built function under the real runtime: with its own layers only, does what it is for.

The story runs in order: what the first functions store, the later ones use.
"""

import base64
import hashlib
import http.client
import io
import json
import random
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neuralstream_core.keys import KeyStore
from neuralstream_core.table import Table
from tests.bundle.emulator import BUILD, layers_of, size_of
from tests.support.artifacts import double_sum
from tests.support.policy import policy_of
from tests.support.template import functions

FUNCTIONS = sorted(functions())
ENTITIES = [f"u-{n}" for n in range(300)]
RARE = {
    # It signs addresses with its role for uploads; the caller sends the file, not the function.
    "BatchPredict": {"s3:PutObject"},
    # Of messages that are large together only; the same call of FeatureWrite is in the story.
    "FeatureIngest": {"s3:PutObject"},
    # Of entries that are sealed, after minutes, and of views that are gone; its own tests do.
    "History": {
        "dynamodb:DeleteItem",
        "dynamodb:GetItem",
        "dynamodb:Query",
        "glue:CreateTable",
        "glue:DeleteTable",
        "glue:UpdateTable",
        "s3:DeleteObject",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
    },
    # Of forgetting, rebuilding and comparing with the history; their own tests do.
    "BatchTask": {"dynamodb:DeleteItem", "dynamodb:Query", "dynamodb:Scan"},
    # Of labels that a training set is made of, and of files and the log's beginning; its own tests do.
    "Training": {"dynamodb:PutItem", "dynamodb:Scan", "s3:GetObject", "s3:PutObject"},
    "TrainingTask": {
        "dynamodb:UpdateItem",
        "glue:CreateTable",
        "glue:DeleteTable",
        "glue:UpdateTable",
        "s3:GetObject",
        "s3:PutObject",
    },
    # Waits only for a target that refuses, and gives a delivery's key back only then; its own tests do.
    "Announce": {"sqs:SendMessage", "dynamodb:DeleteItem"},
    # Monitoring lists what the archive has only for windows longer than Redis keeps.
    "Monitoring": {"dynamodb:BatchGetItem", "dynamodb:Query"},
    # Of requests that are large, and of files of the history, which appear after minutes; its own tests do.
    "Outcomes": {"dynamodb:Scan", "s3:GetObject", "s3:PutObject"},
    "OutcomesIngest": {"s3:PutObject"},
    # Of a minute's predictions that are large together, and of models with a guard; their own tests do.
    "OutcomesScheduled": {
        "dynamodb:BatchGetItem",
        "dynamodb:GetItem",
        "dynamodb:Scan",
        "s3:GetObject",
        "s3:PutObject",
    },
    # Works on closed hours, which a story of a few seconds does not have; its own tests do.
    "MonitoringScheduled": {
        "dynamodb:BatchGetItem",
        "dynamodb:DeleteItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Query",
        "dynamodb:UpdateItem",
    },
}
"""Actions the story below does not reach, with the reason."""

EXPECTED = {
    "Announce": lambda answer: answer == {"batchItemFailures": []},
    "Authorizer": lambda answer: (
        answer["isAuthorized"] is True and "principal" not in answer["context"]
    ),
    "BatchPredict": lambda answer: answer["statusCode"] == 404,
    "BatchTask": lambda answer: answer["errorType"] in ("NotFound", "Invalid"),
    "Training": lambda answer: answer["statusCode"] == 404,
    "TrainingTask": lambda answer: answer["errorType"] in ("NotFound", "Invalid"),
    "Console": lambda answer: answer["statusCode"] == 200,
    "Dispatch": lambda answer: answer == {"batchItemFailures": []},
    "FeatureIngest": lambda answer: len(answer["batchItemFailures"]) == 1,
    "FeatureRead": lambda answer: answer["statusCode"] == 404,
    "FeatureWrite": lambda answer: answer["statusCode"] == 404,
    "History": lambda answer: answer["behind"] == 0,
    "Keys": lambda answer: answer["statusCode"] == 403,  # the event's key is none
    "Monitoring": lambda answer: answer["statusCode"] == 200,
    "MonitoringScheduled": lambda answer: not answer or "errorType" not in answer,
    "Outcomes": lambda answer: answer["statusCode"] == 200,
    "OutcomesIngest": lambda answer: answer == {"batchItemFailures": []},
    "OutcomesScheduled": lambda answer: answer["damaged"] == 0,
    "Predict": lambda answer: answer["statusCode"] == 404,
    "Registry": lambda answer: answer["statusCode"] == 200,
}
"""What the committed event gets from an empty stack."""


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_committed_event_is_answered(bundle, event_of, function):
    answer = bundle.function(function).invoke(event_of(function))
    assert EXPECTED[function](answer), (answer, bundle.function(function).log())


def test_features_are_declared_written_and_read(bundle):
    view = {
        "entity": "user_id",
        "features": [{"name": "age", "dtype": "float64"}, {"name": "income", "dtype": "float64"}],
        "ttl_seconds": None,
    }
    status, _ = bundle.http("FeatureWrite", "PUT /features/views/{name}", view, name="users")
    assert status == 201
    rows = [{"entity_id": e, "features": {"age": 1.0, "income": i}} for i, e in enumerate(ENTITIES)]
    status, written = bundle.http(
        "FeatureWrite", "POST /features/write", {"feature_view": "users", "rows": rows}
    )
    assert (status, written["written"]) == (200, 300)
    draw = random.Random(1)
    large = {
        "feature_view": "users",
        "entity_ids": [draw.randbytes(16).hex() for _ in range(10_000)],
        "columns": {name: [draw.random() for _ in range(10_000)] for name in ("age", "income")},
    }
    status, written = bundle.http("FeatureWrite", "POST /features/write", large)
    assert (status, written["written"]) == (200, 10_000)
    message = {"feature_view": "users", "entity_id": "u-q", "features": {"age": 7.0}}
    answer = bundle.function("FeatureIngest").invoke(
        {"Records": [{"messageId": "m", "body": json.dumps(message), "eventSource": "aws:sqs"}]}
    )
    assert answer == {"batchItemFailures": []}
    for entity, age in (("u-5", 1.0), ("u-q", 7.0)):
        status, row = bundle.http(
            "FeatureRead",
            "GET /features/{feature_view}/{entity_id+}",
            feature_view="users",
            entity_id=entity,
        )
        assert (status, row["features"]["age"]) == (200, age)
    status, kept = bundle.http(
        "Training", "GET /features/views/{name}/history", name="users", entity_id="u-5"
    )
    assert (status, [row["features"]["age"] for row in kept["rows"]]) == (200, [1.0]), kept
    assert bundle.http("FeatureRead", "GET /features/views")[1]
    status, _ = bundle.http("FeatureRead", "GET /features/views/{name}", name="users")
    assert status == 200
    listed = {"features": ["users@buyer:age", "users@seller:age"]}
    put = "PUT /feature-services/{name}"
    assert bundle.http("FeatureWrite", put, listed, name="trade")[0] == 201
    status, found = bundle.http("FeatureRead", "GET /feature-services/{name}", name="trade")
    assert (status, found["features"]) == (200, listed["features"])
    assert bundle.http("FeatureRead", "GET /feature-services")[1]["services"] == [found]
    assert bundle.http("FeatureWrite", "DELETE /feature-services/{name}", name="trade")[0] == 200
    bundle.http("FeatureWrite", "PUT /features/views/{name}", view, name="passing")
    assert bundle.http("FeatureWrite", "DELETE /features/views/{name}", name="passing")[0] < 300


def test_a_model_is_registered_inline_and_by_upload(bundle):
    model = {"format": "onnx", "features": ["users:age", "users:income"]}
    baseline = {
        "columns": {"users:age": [1.0] * 300, "users:income": [float(n) for n in range(300)]}
    }
    inline = {"artifact_base64": base64.b64encode(double_sum()).decode(), "baseline": baseline}
    status, version = bundle.http(
        "Registry", "POST /models/{name}/versions", model | inline, name="m"
    )
    assert (status, version["status"]) == (201, "READY"), version
    data = double_sum() + b""
    announced = {"artifact": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}}
    status, pending = bundle.http(
        "Registry", "POST /models/{name}/versions", model | announced, name="other"
    )
    assert status in (201, 202), pending
    if pending["status"] == "PENDING_UPLOAD":
        upload = pending["upload"]
        url = urlsplit(upload["url"])
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
        connection.request("PUT", f"{url.path}?{url.query}", data, upload["headers"])
        assert connection.getresponse().status == 200
        connection.close()
    status, done = bundle.http(
        "Registry", "POST /models/{name}/versions/{version}/complete", name="other", version="v1"
    )
    assert (status, done["status"]) == (200, "READY"), done
    for key in ("GET /models", "GET /models/{name}", "GET /models/{name}/lineage"):
        assert bundle.http("Registry", key, name="m")[0] == 200 if "{" in key else True
    assert (
        bundle.http(
            "Registry", "POST /models/{name}/promote/{version}", {}, name="m", version="v1"
        )[0]
        == 200
    )


def test_predictions_come_from_the_model_and_the_features(bundle):
    status, answer = bundle.http(
        "Predict", "POST /predict/{model_name}", {"entity_id": "u-5"}, model_name="m"
    )
    assert (status, answer["prediction"]) == (200, 12.0), answer
    status, answer = bundle.http(
        "BatchPredict",
        "POST /predict/{model_name}/batch",
        {"entity_ids": ["u-1", "nobody"]},
        model_name="m",
    )
    assert (status, answer["count"], answer["failed"]) == (200, 2, 1), answer
    assert answer["predictions"][0]["prediction"] == 4.0


def test_a_batch_job_runs_from_parquet_to_parquet(bundle):
    s3, bucket = bundle.aws.client("s3"), bundle.names["bucket"]
    buffer = io.BytesIO()
    pq.write_table(pa.table({"entity_id": ENTITIES}), buffer)
    s3.put_object(Bucket=bucket, Key="jobs/in/users.parquet", Body=buffer.getvalue())
    body = {"input": f"s3://{bucket}/jobs/in/users.parquet", "output": f"s3://{bucket}/jobs/out/"}
    body["output_format"] = "parquet"
    status, job = bundle.http(
        "BatchPredict", "POST /predict/{model_name}/batch", body, model_name="m"
    )
    assert status == 202, job
    _the_outbox_is_sent(bundle)
    task = bundle.function("BatchTask")
    plan = task.invoke({"task": "plan", "job_id": job["job_id"]})
    assert plan["chunks"] >= 1, plan
    chunks = json.loads(s3.get_object(Bucket=plan["bucket"], Key=plan["key"])["Body"].read())
    for chunk in chunks:
        done = task.invoke({"task": "chunk", "job_id": job["job_id"], "chunk": chunk})
        assert done is None or "errorType" not in done, done
    finished = task.invoke({"task": "finish", "job_id": job["job_id"]})
    assert finished["status"] == "SUCCEEDED", finished
    status, shown = bundle.http("BatchPredict", "GET /jobs/{job_id}", job_id=job["job_id"])
    assert (status, shown["status"]) == (200, "SUCCEEDED")
    assert bundle.http("BatchPredict", "GET /jobs")[0] == 200
    written = s3.list_objects_v2(Bucket=bucket, Prefix="jobs/out/")["Contents"]
    tables = [
        pq.read_table(io.BytesIO(s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()))
        for entry in written
        if entry["Key"].endswith(".parquet")
    ]
    assert sum(table.num_rows for table in tables) == len(ENTITIES)


def _the_outbox_is_sent(bundle):
    items = bundle.aws.client("dynamodb").scan(TableName=bundle.names["table"])["Items"]
    outbox = [_inserted(item) for item in items if "outbox" in item]
    assert len(outbox) == 1, "the job was to be started"
    dispatch = bundle.function("Dispatch")
    for _ in range(2):  # a stream delivers at least once
        assert dispatch.invoke({"Records": outbox}) == {"batchItemFailures": []}
    executions = bundle.aws.client("stepfunctions").list_executions(
        stateMachineArn=bundle.variables["NEURALSTREAM_STATE_MACHINE_ARN"]
    )["executions"]
    assert len(executions) == 1


def _inserted(item):
    return {
        "eventID": "1",
        "eventName": "INSERT",
        "eventSource": "aws:dynamodb",
        "dynamodb": {
            "Keys": {"PK": item["PK"], "SK": item["SK"]},
            "NewImage": item,
            "SequenceNumber": "1",
        },
    }


def test_a_schedule_reaches_the_scheduler_and_leaves_it(bundle):
    bucket = bundle.names["bucket"]
    body = {
        "model": "m",
        "input": f"s3://{bucket}/jobs/in/{{yyyy}}.parquet",
        "output": f"s3://{bucket}/jobs/out/",
        "expression": "cron(0 3 ? * 2#1 *)",
        "timezone": "Europe/Berlin",
    }
    dispatch = bundle.function("Dispatch")
    changed = {
        "PK": {"S": "SCHEDULE#default#nightly"},
        "SK": {"S": "SCHEDULE"},
        "outbox": {"M": {"kind": {"S": "schedule_changed"}, "schedule": {"S": "nightly"}}},
    }
    for enabled, revision in ((True, 1), (False, 2)):
        status, schedule = bundle.http(
            "BatchPredict", "PUT /schedules/{name}", body | {"enabled": enabled}, name="nightly"
        )
        assert (status, schedule["revision"]) == (201 if revision == 1 else 200, revision)
        assert (schedule["next_run"] is not None) == enabled
        assert dispatch.invoke({"Records": [_inserted(changed)]}) == {"batchItemFailures": []}
    status, schedule = bundle.http("BatchPredict", "GET /schedules/{name}", name="nightly")
    assert (status, schedule["state"]) == (200, "disabled")
    assert bundle.http("BatchPredict", "GET /schedules")[0] == 200
    assert bundle.http("BatchPredict", "DELETE /schedules/{name}", name="nightly")[0] == 200
    assert dispatch.invoke({"Records": [_inserted(changed)]}) == {"batchItemFailures": []}
    listed = bundle.aws.client("scheduler").list_schedules()["Schedules"]
    assert bundle.names["stack"] not in {each["GroupName"] for each in listed}


def test_what_was_predicted_is_drained_into_the_history(bundle):
    answer = bundle.function("OutcomesScheduled").invoke({"task": "drain"})
    assert answer["rows"] > 0, answer
    assert answer["damaged"] == 0


def test_outcomes_tell_how_good_predictions_were(bundle):
    status, answer = bundle.http(
        "Predict", "POST /predict/{model_name}", {"entity_id": "u-5"}, model_name="m"
    )
    assert status == 200, answer
    row = {"prediction_id": answer["prediction_id"], "label": answer["prediction"] + 1}
    status, kept = bundle.http("Outcomes", "POST /outcomes", {"model": "m", "rows": [row]})
    assert (status, kept["accepted"]) == (200, 1), kept
    bundle.function("OutcomesScheduled").invoke({"task": "drain"})
    status, report = bundle.http("Outcomes", "GET /monitoring/performance", model="m", window="1h")
    assert status == 200, report
    assert [each["metrics"]["mae"]["value"] for each in report["versions"]] == [1.0]
    status, refused = bundle.http("Outcomes", "GET /models/{name}/ab-split/results", name="m")
    assert (status, refused["code"]) == (409, "no_split")

    s3, bucket = bundle.aws.client("s3"), bundle.names["bucket"]
    data = f"prediction_id,label\n{answer['prediction_id']},{answer['prediction']}\n"
    s3.put_object(Bucket=bucket, Key="jobs/in/outcomes.csv", Body=data.encode())
    body = {"model": "m", "input": f"s3://{bucket}/jobs/in/outcomes.csv"}
    status, job = bundle.http("Outcomes", "POST /outcomes", body)
    assert status == 202, job
    task = bundle.function("BatchTask")
    plan = task.invoke({"task": "plan", "job_id": job["job_id"]})
    chunks = json.loads(s3.get_object(Bucket=plan["bucket"], Key=plan["key"])["Body"].read())
    for chunk in chunks:
        done = task.invoke({"task": "chunk", "job_id": job["job_id"], "chunk": chunk})
        assert done is None or "errorType" not in done, done
    finished = task.invoke({"task": "finish", "job_id": job["job_id"]})
    assert finished["status"] == "SUCCEEDED", finished


def test_a_change_of_drift_is_announced(bundle):
    message = {"kind": "drift_changed", "model": "m", "version": "v1", "status": "drift"}
    item = {
        "PK": {"S": "DRIFT#default#m"},
        "SK": {"S": "v1"},
        "outbox": {"M": {name: {"S": value} for name, value in message.items()}},
    }
    for _ in range(2):  # a stream delivers at least once
        answer = bundle.function("Announce").invoke({"Records": [_inserted(item)]})
        assert answer == {"batchItemFailures": []}


def test_monitoring_reports_what_was_predicted(bundle):
    status, stats = bundle.http("Monitoring", "GET /monitoring/stats", model="m", window="1h")
    assert status == 200
    assert '"requests"' in json.dumps(stats)
    status, drift = bundle.http("Monitoring", "GET /monitoring/drift", model="m", window="1h")
    assert (status, drift["model"]) == (200, "m")
    for key in ("GET /monitoring/drift", "GET /monitoring/stats"):
        assert bundle.http("Monitoring", key)[0] == 200
    for task in ("archive", "evaluate"):
        answer = bundle.function("MonitoringScheduled").invoke({"task": task})
        assert not answer or "errorType" not in answer, answer
    answer = bundle.function("OutcomesScheduled").invoke({"task": "evaluate"})
    assert answer["failed"] == 0, answer
    answer = bundle.function("OutcomesScheduled").invoke({"task": "judge"})
    assert answer["changes"] == 0, answer


def test_a_key_opens_until_it_is_revoked(bundle, event_of):
    store = KeyStore(Table(bundle.aws.client("dynamodb"), bundle.names["keys"]))
    minted = store.mint("alice", ["predict"])
    event = event_of("Authorizer") | {"identitySource": [minted.key]}
    authorizer = bundle.function("Authorizer")
    assert authorizer.invoke(event) == {
        "isAuthorized": True,
        "context": {"principal": "alice", "scopes": "predict", "key_id": minted.record.key_id},
    }
    store.revoke(minted.record.key_id)
    assert authorizer.invoke(event)["isAuthorized"] is False
    assert minted.key not in authorizer.log()


def test_a_key_is_made_listed_and_ended_over_http(bundle, event_of):
    store = KeyStore(Table(bundle.aws.client("dynamodb"), bundle.names["keys"]))
    admin = store.mint("admin", ["keys", "predict"])
    keys = bundle.function("Keys")

    def call(route, **more):
        event = event_of("Keys") | {"routeKey": route, "headers": {"x-api-key": admin.key}, **more}
        answer = keys.invoke(event)
        return answer["statusCode"], json.loads(answer["body"])

    body = json.dumps({"principal": "shop", "scopes": ["predict"]})
    status, minted = call("POST /keys", body=body)
    assert (status, minted["created_by"]["key_id"]) == (201, admin.record.key_id)
    status, page = call("GET /keys")
    assert (status, minted["key_id"] in {one["key_id"] for one in page["keys"]}) == (200, True)
    path = {"key_id": minted["key_id"]}
    status, ended = call("DELETE /keys/{key_id}", pathParameters=path)
    assert (status, ended["state"]) == (200, "revoked")
    assert minted["key"] not in keys.log()
    assert admin.key not in keys.log()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_role_allows_what_the_function_called(bundle, function):
    """Runs after the story above, whose calls it judges."""
    policy = policy_of(function, bundle.references())
    refused = {call for call in bundle.recording.calls[function] if not policy.allows(call)}
    assert refused == set()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_role_allows_no_action_the_function_never_calls(bundle, function):
    called = {call.action for call in bundle.recording.calls[function]}
    # Without s3:ListBucket a missing object is answered 403 instead of 404; nothing lists.
    unused = policy_of(function, bundle.references()).actions - called - {"s3:ListBucket"}
    assert unused - RARE.get(function, set()) == set()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_and_its_layers_are_small(function):
    folders = [BUILD / f"{function}Function", *(BUILD / layer for layer in layers_of(function))]
    # AWS takes 250 MB unzipped. A cold start of a prediction reads all of its layers.
    limit = 150e6 if function == "Predict" else 230e6
    assert sum(size_of(folder) for folder in folders) <= limit


@pytest.mark.parametrize("layer", ["CoreLayer", "InferenceLayer", "BatchLayer"])
def test_every_module_of_a_layer_is_compiled_for_the_runtime(layer):
    for source in (BUILD / layer / "python").rglob("*.py"):
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-312.pyc"
        assert compiled.is_file(), source
        flags = int.from_bytes(compiled.read_bytes()[4:8], "little")
        assert flags == 0b01, "bytecode is checked against a hash, not against a time stamp"
