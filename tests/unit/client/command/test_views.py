"""``views plan`` and ``apply``: what differs, what would be refused, what is sent."""

from __future__ import annotations

import json

import httpx
import pytest
from typer.testing import CliRunner

from neuralstream_client.command.app import app

PRESENT = {
    "name": "users",
    "entity": "user_id",
    "features": [{"name": "age", "dtype": "int64"}],
    "ttl_seconds": 60,
    "description": "",
    "owner": "",
    "tags": {},
    "history": True,
    "history_complete": True,
    "schema_version": 1,
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
}
DECLARED = {"name": "users", "entity": "user_id", "ttl_seconds": 60, "features": {"age": "int64"}}


@pytest.fixture
def views(tmp_path):
    """``views(command, *declared)`` → what ended, its JSON, and names of the views that were put."""

    def run(command, *declared):
        put = []

        def respond(request):
            name = request.url.path.rpartition("/")[2]
            if request.method == "PUT":
                put.append(name)
            elif name != "users":
                return httpx.Response(404, json={"code": "view_not_found", "detail": "none"})
            return httpx.Response(200, json=PRESENT)

        file = tmp_path / "views.json"
        file.write_text(json.dumps({"views": declared}))
        ended = CliRunner().invoke(
            app,
            ["views", command, str(file), "--json", "--url", "http://stack"],
            obj=httpx.Client(transport=httpx.MockTransport(respond)),
        )
        return ended, json.loads(ended.stdout)["views"], put

    return run


CASES = {
    "same": (DECLARED, "same", [], 0),
    "new view": (
        {**DECLARED, "name": "shops"},
        "create",
        ["entity user_id", "features age int64"],
        2,
    ),
    "new feature": (
        {**DECLARED, "features": {"age": "int64", "v": {"dtype": "float64", "shape": [3]}}},
        "change",
        ["+ feature v float64[3]"],
        2,
    ),
    "other fields": (
        {**DECLARED, "ttl_seconds": None, "history": False, "owner": "me"},
        "change",
        ["~ ttl_seconds 60 → None", "~ history True → False", "~ owner '' → 'me'"],
        2,
    ),
    "default": (
        {**DECLARED, "features": {"age": {"dtype": "int64", "default": 7}}},
        "change",
        ["~ feature age: default None → 7"],
        2,
    ),
    "dtype": (
        {**DECLARED, "features": {"age": "float64"}},
        "refused",
        ["feature age is int64 and cannot become float64"],
        1,
    ),
    "removed": (
        {**DECLARED, "features": {"size": "int64"}},
        "refused",
        ["feature age cannot be removed"],
        1,
    ),
    "entity": (
        {**DECLARED, "entity": "shop_id"},
        "refused",
        ["the entity is user_id and cannot become shop_id"],
        1,
    ),
}


@pytest.mark.parametrize(("declared", "action", "changes", "status"), CASES.values(), ids=CASES)
def test_plan_names_each_difference_and_its_exit_status_says_whether_there_is_one(
    views, declared, action, changes, status
):
    ended, found, put = views("plan", declared)
    assert found == [{"view": declared["name"], "action": action, "changes": changes}]
    assert ended.exit_code == status
    assert put == []


def test_apply_sends_only_views_that_differ(views):
    ended, found, put = views("apply", DECLARED, {**DECLARED, "name": "shops"})
    assert put == ["shops"]
    assert [one["action"] for one in found] == ["same", "create"]
    assert ended.exit_code == 0


def test_apply_sends_nothing_if_one_view_would_be_refused(views):
    refused = {**DECLARED, "features": {"age": "float64"}}
    ended, _, put = views("apply", {**DECLARED, "name": "shops"}, refused)
    assert put == []
    assert ended.exit_code == 1
