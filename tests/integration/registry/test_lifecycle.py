"""The life of a version, as its callers see it."""

from __future__ import annotations

from typing import Any

import pytest

from neuralstream_core.errors import ArtifactRejected, Conflict, Invalid, NotFound, Unavailable
from neuralstream_core.registry.events import EventKind
from neuralstream_core.registry.records import Stage, VersionStatus
from neuralstream_core.uploads import UPLOAD_SECONDS
from tests.support.registry import House, ada, announced, every, inline, observe, replay

HOUR = 3_600_000_000


def test_a_registered_version_is_served_once_promoted(house: House) -> None:
    first = house.register(metrics={"auc": 0.9}).version
    assert (first.version, first.status, first.stage) == ("v1", VersionStatus.READY, Stage.STAGING)
    assert house.registry.served("m").versions == {}

    house.registry.promote("m", "v1", ada())

    routing = house.registry.served("m")
    assert routing.model.production_version == "v1"
    assert routing.versions["v1"].stage is Stage.PRODUCTION
    assert house.artifacts.get(routing.versions["v1"].digest) == b"model"


def test_what_is_not_there_is_not_found(house: House) -> None:
    for call in (
        lambda: house.registry.model("m"),
        lambda: house.registry.served("m"),
        lambda: house.registry.versions("m"),
        lambda: house.registry.events("m"),
        lambda: house.registry.version("m", "v1"),
        lambda: house.registry.promote("m", "v1", ada()),
        lambda: house.registry.record_event("m", EventKind.BATCH_FAILED, ada()),
    ):
        with pytest.raises(NotFound):
            call()


def test_an_upload_never_made_expires_and_its_number_is_not_given_again(house: House) -> None:
    registered = house.registrar.register("m", announced(b"model"), ada())
    assert registered.upload is not None
    house.clock.ahead = UPLOAD_SECONDS * 1_000_000 + 1

    found = house.registry.version("m", "v1")
    assert (found.status, "was not uploaded by" in (found.reason or "")) == (
        VersionStatus.REJECTED,
        True,
    )
    house.s3.put_object(Bucket=house.bucket, Key=found.upload_key, Body=b"model")
    with pytest.raises(ArtifactRejected, match="was not uploaded by"):
        house.registrar.complete("m", "v1", ada())
    with pytest.raises(Conflict):
        house.registry.promote("m", "v1", ada())
    assert house.register().version.version == "v2"


def test_a_bad_inline_artifact_takes_no_number(house: House) -> None:
    house.register()
    with pytest.raises(ArtifactRejected):
        house.register(data=b"bad")
    assert house.register().version.version == "v2"


def test_a_registration_repeated_with_its_key_gives_the_upload_again(house: House) -> None:
    first = house.registrar.register("m", announced(b"model"), ada("key"))
    again = house.registrar.register("m", announced(b"model"), ada("key"))
    assert again.version == first.version
    assert again.upload is not None


def test_an_idempotency_key_is_forgotten_after_a_day(house: House) -> None:
    house.register(by=ada("key"))
    with pytest.raises(Invalid) as caught:
        house.register(data=b"other", by=ada("key"))
    assert caught.value.code == "idempotency_key_reused"

    house.clock.ahead = 25 * HOUR

    assert house.register(data=b"other", by=ada("key")).version.version == "v2"


def test_rollback_walks_back_through_the_former_production_versions(house: House) -> None:
    for n in range(1, 5):
        house.register(data=b"%d" % n)
        house.registry.promote("m", f"v{n}", ada())
    house.registry.archive("m", "v2", ada())

    walked = [house.registry.rollback("m", ada()).model.production_version for _ in range(2)]

    assert walked == ["v3", "v1"]
    with pytest.raises(Conflict, match="no former production version"):
        house.registry.rollback("m", ada())
    assert replay(house) == observe(house)


def test_a_view_of_the_same_name_made_anew_is_another_view(house: House) -> None:
    house.views.put("users", "age")
    house.register(features=["users:age"])
    house.registry.archive("m", "v1", ada())
    house.views.delete("users")
    house.views.put("users", "age", generation="g2")

    with pytest.raises(Conflict) as caught:
        house.registry.restore("m", "v1", ada())
    assert caught.value.code == "view_deleted"


REVIVALS = {
    "promote": lambda house: house.registry.promote("m", "v1", ada()),
    "split": lambda house: house.registry.set_split("m", {"v1": 0.4, "v2": 0.6}, ada()),
}


@pytest.fixture
def two(house: House) -> House:
    """``v2`` in production; ``v1``, which reads the same view, archived by request."""
    house.views.put("users", "age")
    house.register(features=["users:age"])
    house.register(data=b"two", features=["users:age"])
    house.registry.promote("m", "v2", ada())
    house.registry.archive("m", "v1", ada())
    assert house.views.item("users")["dependents"] == {"m@v2"}
    return house


@pytest.mark.parametrize("revive", REVIVALS.values(), ids=REVIVALS.keys())
def test_an_archived_version_serves_again_and_holds_its_views(two: House, revive: Any) -> None:
    model = revive(two).model

    assert "v1" in two.registry.served("m").versions
    assert not two.registry.version("m", "v1").retired
    assert two.views.item("users")["dependents"] == {"m@v1", "m@v2"}
    assert {model.production_version, *(model.ab_split or {})} >= {"v1"}


@pytest.mark.parametrize("revive", REVIVALS.values(), ids=REVIVALS.keys())
def test_an_archived_version_whose_view_is_gone_stays_archived(two: House, revive: Any) -> None:
    two.views.put("users", "age", generation="another")
    with pytest.raises(Conflict, match="the feature view users was deleted") as refused:
        revive(two)

    assert refused.value.code == "view_deleted"
    assert two.registry.version("m", "v1").stage == "archived"
    assert two.registry.model("m").production_version == "v2"
    assert two.registry.model("m").ab_split is None


def test_more_views_than_one_transaction_holds_are_a_conflict(house: House) -> None:
    """Three versions of 33 views each, all let go: 99 views cannot be taken hold of at once."""
    for number in range(3):
        views = [f"view{number}x{n}" for n in range(33)]
        for view in views:
            house.views.put(view, "age")
        house.register(data=b"%d" % number, features=[f"{view}:age" for view in views])
        house.registry.archive("m", f"v{number + 1}", ada())
    with pytest.raises(Conflict) as refused:
        house.registry.set_split("m", {"v1": 0.3, "v2": 0.3, "v3": 0.4}, ada())

    assert refused.value.code == "too_many_views"
    house.registry.restore("m", "v1", ada())
    split = house.registry.set_split("m", {"v1": 0.3, "v2": 0.3, "v3": 0.4}, ada()).model.ab_split
    assert split == {"v1": 0.3, "v2": 0.3, "v3": 0.4}


def test_a_view_deleted_during_an_upload_is_a_conflict_when_it_completes(house: House) -> None:
    house.views.put("users", "age")
    request = announced(b"model", features=["users:age"])
    key = house.registrar.register("m", request, ada()).version.upload_key
    house.s3.put_object(Bucket=house.bucket, Key=key, Body=b"model")
    house.views.delete("users")

    with pytest.raises(Conflict, match="the feature view users was deleted"):
        house.registrar.complete("m", "v1", ada())


def test_defaults_come_from_the_request_or_the_view_and_are_checked(house: House) -> None:
    house.views.put("users", "age")
    spec = {"feature": "users:age", "default": 3}
    version = house.register(features=[spec, "request:hour"], missing="null").version
    assert [(ref.label, ref.default, ref.dtype) for ref in version.features] == [
        ("users:age", 3.0, "float64"),
        ("request:hour", None, "float64"),
    ]
    with pytest.raises(Invalid) as caught:
        house.register(features=[{"feature": "users:age", "default": "three"}])
    assert [error.loc for error in caught.value.errors] == ["features.0.default"]


def test_an_event_with_a_key_is_recorded_once(house: House) -> None:
    house.register()
    for _ in range(3):
        house.registry.record_event(
            "m", EventKind.BATCH_FINISHED, ada("job-1"), version="v1", data={"rows": 10}
        )
    events = every(lambda token: house.registry.events("m", token=token))
    assert [e.kind for e in events] == [EventKind.REGISTERED, EventKind.BATCH_FINISHED]
    assert (events[1].version, events[1].data) == ("v1", {"rows": 10})


def test_an_artifact_whose_bytes_changed_is_not_served(house: House) -> None:
    digest = house.register().version.digest
    house.s3.put_object(Bucket=house.bucket, Key=f"artifacts/sha256/{digest}", Body=b"other")
    with pytest.raises(Unavailable) as caught:
        house.artifacts.get(digest)
    assert caught.value.dependency == "artifacts"
    with pytest.raises(Unavailable, match="missing"):
        house.artifacts.get("0" * 64)


def test_numbers_and_nesting_that_dynamodb_cannot_hold_come_back_as_they_were(house: House) -> None:
    deep: list[object] = [1.0]
    for _ in range(40):
        deep = [deep]
    params = {"deep": deep, "whole": 1.0, "huge": 1e300, "many": 10**60, "none": None}
    house.registrar.register("m", inline(params=params, metrics={"loss": 1e-300}), ada())
    stored = house.registry.version("m", "v1")
    assert stored.params == params
    assert isinstance(stored.params["whole"], float)
    assert stored.metrics == {"loss": 1e-300}
