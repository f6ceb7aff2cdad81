"""DELETE /features/{feature_view}/{entity_id}: an entity is forgotten."""

from __future__ import annotations

import hashlib
from typing import Any

from neuralstream_core.features.audit import ViewAudit
from neuralstream_core.features.writes import FORGOTTEN
from neuralstream_core.table import Table
from neuralstream_core.time import system_clock
from neuralstream_lambda.wiring import history_log
from tests.support.features import Functions, Reply

PAIR = {"entity": ["user", "item"], "features": [{"name": "a", "dtype": "float64"}]}
USER = {"entity": "user_id", "features": [{"name": "a", "dtype": "float64"}]}


def put(functions: Functions, view: str, spec: dict[str, Any]) -> None:
    reply = functions.call("PUT /features/views/{name}", path={"name": view}, body=spec)
    assert reply.status == 201


def write(functions: Functions, view: str, **values: float) -> None:
    rows = [{"entity_id": entity, "features": {"a": a}} for entity, a in values.items()]
    body = {"feature_view": view, "rows": rows}
    assert functions.call("POST /features/write", body=body).status == 200


def at(functions: Functions, method: str, view: str, entity: str) -> Reply:
    path = {"feature_view": view, "entity_id": entity}
    return functions.call(f"{method} /features/{{feature_view}}/{{entity_id}}", path=path)


def test_a_forgotten_entity_is_gone_online_and_the_others_are_not(functions: Functions) -> None:
    put(functions, "user", USER)
    write(functions, "user", u1=1.0, u2=2.0)
    answer = {"feature_view": "user", "entity_id": "u1", "found": True}
    assert at(functions, "DELETE", "user", "u1") == Reply(200, answer)
    assert at(functions, "GET", "user", "u1").status == 404
    assert at(functions, "GET", "user", "u2").status == 200
    assert at(functions, "DELETE", "user", "u1") == Reply(200, {**answer, "found": False})


def test_what_is_written_after_it_is_kept(functions: Functions) -> None:
    put(functions, "user", USER)
    write(functions, "user", u1=1.0)
    at(functions, "DELETE", "user", "u1")
    write(functions, "user", u1=2.0)
    assert at(functions, "GET", "user", "u1").body["features"] == {"a": 2.0}


def test_a_composite_entity_is_named_by_its_parts(functions: Functions) -> None:
    put(functions, "pair", PAIR)
    rows = [{"entity_id": e, "features": {"a": 1.0}} for e in (["1", "2,3"], ["1,2", "3"])]
    functions.call("POST /features/write", body={"feature_view": "pair", "rows": rows})
    reply = at(functions, "DELETE", "pair", "1,2\\,3")
    assert (reply.status, reply.body["entity_id"], reply.body["found"]) == (200, ["1", "2,3"], True)
    assert at(functions, "GET", "pair", "1\\,2,3").status == 200
    refused = at(functions, "DELETE", "pair", "1")
    assert (refused.status, refused.body["errors"][0]["loc"]) == (422, "path.entity_id")


def test_a_view_that_is_not_there_is_not_found(functions: Functions) -> None:
    assert at(functions, "DELETE", "nobody", "u1").status == 404


def test_the_log_and_the_trail_say_it_and_the_trail_does_not_name_the_entity(
    functions: Functions, table: Table
) -> None:
    """Also for a view that keeps no history now: it may have had one."""
    put(functions, "user", {**USER, "history": False})
    at(functions, "DELETE", "user", "u1")
    log = history_log(functions.write.settings)
    now = system_clock() // 60_000_000
    (part,) = [part for _, entry in log.entries(now - 2, now) for part in entry.parts]
    assert (part.view, list(part.entities), list(part.rows)) == ("user", [b"u1"], [FORGOTTEN])
    (event,) = ViewAudit(table, "test", system_clock).events("user")
    assert event.entity == hashlib.sha256(b"u1").hexdigest()
    assert (event.actor, event.found, event.generation) == ("test", False, part.generation)
