"""The history of one entity over HTTP: by the client, by the command, and what is refused."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from neuralstream_client import AsyncNeuralStream, NeuralStream
from neuralstream_client.command.app import app
from neuralstream_client.errors import Conflict, Invalid, NotFound
from tests.support.stack import RunningStack

NOW = datetime.now(UTC).replace(microsecond=0)


def at(hours: float) -> str:
    return (NOW + timedelta(hours=hours)).isoformat()


@pytest.fixture
def routes(ns: NeuralStream, name: str) -> str:
    """A view of flights with a composite key: written, written late in part, and backfilled."""
    features = {"delay": "float64", "gate": "string", "seen": "timestamp"}
    ns.features.apply({"name": name, "entity": ["origin", "destination"], "features": features})
    key = {"origin": "J,F\\K", "destination": "a/b"}
    first = {"delay": 1.5, "gate": "é", "seen": at(-5)}
    ns.features.write([key | {"at": at(-2)} | first], view=name, event_timestamp="at")
    ns.features.write([key | {"at": at(-3), "gate": None}], view=name, event_timestamp="at")
    past = [key | {"at": at(-4), "delay": 0.25}]
    ns.jobs.wait(ns.features.backfill(name, input=past, timestamp="at").job_id)
    return name


def test_a_history_says_what_was_written_when_and_by_what(
    ns: NeuralStream, routes: str, stack: RunningStack
) -> None:
    entity = ("J,F\\K", "a/b")
    found = list(ns.features.history(routes, entity, page_size=1))
    written = [(row.event_timestamp.isoformat(), row.source, row.features) for row in found]
    assert written == [
        (at(-2), "write", {"delay": 1.5, "gate": "é", "seen": at(-5).replace("+00:00", "Z")}),
        (at(-3), "write", {"gate": None}),
        (at(-4), "backfill", {"delay": 0.25}),
    ]
    assert all(row.written_at >= NOW and row.schema_version == 1 for row in found)
    some = ns.features.history(routes, entity, feature="delay", end=NOW - timedelta(hours=2))
    assert [row.features for row in some] == [{"delay": 0.25}]

    asked = ["views", "history", routes, *entity, "-f", "gate", "--limit", "1", "--json"]
    ran = CliRunner().invoke(app, asked, env={"NEURALSTREAM_URL": stack.url})
    assert ran.exit_code == 0, ran.output
    (row,) = json.loads(ran.stdout)["rows"]
    assert (row["features"], row["request_id"]) == ({"gate": "é"}, found[0].request_id)

    assert ns.features.forget(routes, entity).found
    assert list(ns.features.history(routes, entity)) == []


def test_what_is_refused_says_why(ns: NeuralStream, name: str, stack: RunningStack) -> None:
    features = {"delay": "float64"}
    ns.features.apply({"name": name, "entity": "id", "features": features, "history": False})
    with pytest.raises(Conflict) as without:
        next(iter(ns.features.history(name, "x")))
    assert without.value.code == "view_without_history"
    with pytest.raises(NotFound):
        next(iter(ns.features.history("nobody", "x")))
    ns.features.apply({"name": name, "entity": "id", "features": features, "history": True})
    for query, place in (
        ("entity_id=x&feature=none", "query.feature"),
        ("entity_id=x&limit=1001", "query.limit"),
        ("entity_id=x&next_token=WzFd", "next_token"),
        ("entity_id=x&next_token=WzAsMCwiIiw5MjIzMzcyMDM2ODU0Nzc1ODA4XQ==", "next_token"),
        ("entity_id=x&start=2026-01-01T00:00:00", "query.start"),
        (f"entity_id={'x' * 1025}", "query.entity_id"),
        ("feature=delay", "query.entity_id"),
    ):
        answer = stack.request("GET", f"/features/views/{name}/history?{query}")
        assert answer.status == 422, (query, answer.data)
        assert [each["loc"] for each in answer.json()["errors"]] == [place]

    async def first() -> list[Any]:
        async with AsyncNeuralStream(stack.url) as other:
            return [row async for row in other.features.history(name, "x", feature="delay")]

    assert asyncio.run(first()) == []
    with pytest.raises(Invalid):
        list(ns.features.history(name, ("x", "y"), feature="none"))
