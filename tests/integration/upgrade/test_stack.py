"""What 0.1.0 stored, read and served by the stack of this release, over HTTP.

Of views without a TTL, and of everything in the registry: these answers are the same whenever the test runs.
"""

from __future__ import annotations

from tests.support.release_0_1 import Asked, Dump, less
from tests.support.stack import RunningStack

OF_ITS_MOMENT = ("latency_ms", "timestamp")
"""Fields of a prediction's answer."""
OVERDUE = (
    'status: "PENDING_UPLOAD" is "REJECTED"',
    'reason: null is "the artifact was not uploaded by',
)
"""What has become of a version whose artifact nobody sent."""
LASTING = ("old_users", "old_routes", "old_wide", "old_again", "old_gone")
"""Views whose values do not expire."""


def differences(stack: RunningStack, asked: list[Asked]) -> list[str]:
    """What the stack answers otherwise than 0.1.0 did."""
    found: list[str] = []
    for each in asked:
        reply = stack.request(each.method, each.path, each.body)
        wrong = [] if reply.status == each.status else [f"status is {reply.status}"]
        wrong += [x for x in less(each.answer, reply.json()) if not x.startswith(OF_ITS_MOMENT)]
        found += [f"{each.method} {each.path} {each.body}: {line}" for line in wrong]
    return found


def view_of(each: Asked) -> str:
    return each.body["feature_view"] if each.body else each.path.split("/")[-2]


def test_rows_are_read_as_they_were(stack: RunningStack, dump: Dump) -> None:
    asked = dump.asked(
        lambda each: each.path.startswith("/features/") and each.path[10:15] != "views"
    )
    lasting = [each for each in asked if view_of(each) in LASTING]
    assert len(lasting) > 10
    assert differences(stack, lasting) == []


def test_views_models_versions_lineage_and_jobs_are_those_that_were(
    stack: RunningStack, dump: Dump
) -> None:
    asked = dump.asked(lambda each: each.path.startswith(("/models/", "/jobs/job-")))
    assert len(asked) > 15
    assert [x for x in differences(stack, asked) if not any(said in x for said in OVERDUE)] == []
    for view in dump.answer("/features/views")["views"]:
        found = stack.request("GET", f"/features/views/{view['name']}").json()
        assert list(less(view, found)) == []
        assert (found["history"], found["history_complete"]) == (True, False)
    assert stack.request("GET", "/features/views/old_gone").status == 404


def test_predictions_are_those_that_were_made(stack: RunningStack, dump: Dump) -> None:
    asked = dump.asked(
        lambda each: each.path.startswith(("/predict/old_churn", "/predict/old_linear"))
    )
    assert len(asked) > 5
    assert differences(stack, asked) == []


def test_an_entity_keeps_its_version_of_a_split(stack: RunningStack, dump: Dump) -> None:
    asked = dump.asked(
        lambda each: each.path == "/predict/old_delay" and "version" not in each.body
    )
    versions = [stack.request("POST", each.path, each.body).json()["version"] for each in asked]
    assert versions == [each.answer["version"] for each in asked]
    assert len(set(versions)) == 2
