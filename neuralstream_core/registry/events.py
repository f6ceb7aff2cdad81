"""What happened to a model: one entry of its audit trail for each change."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import AwareDatetime, Field

from neuralstream_core.registry.records import (
    Digest,
    Gate,
    PredictionLog,
    Stage,
    VersionStatus,
    event_key,
    model_key,
    stored,
)
from neuralstream_core.table import Item
from neuralstream_core.types import Record, SchemaOf, VersionName

__all__ = ["EventData", "EventKind", "EventRecord", "event_item"]


class EventKind(StrEnum):
    """What can happen to a model; each happening is one entry of its audit trail."""

    REGISTERED = "registered"
    READY = "ready"
    """An uploaded artifact passed validation."""
    REJECTED = "rejected"
    """An uploaded artifact failed validation."""
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    ARCHIVED = "archived"
    RESTORED = "restored"
    """An archived version went back to staging."""
    SPLIT_SET = "split_set"
    SPLIT_ENDED = "split_ended"
    SHADOW_SET = "shadow_set"
    SHADOW_ENDED = "shadow_ended"
    GUARD_SET = "guard_set"
    GUARD_REMOVED = "guard_removed"
    GUARD_TRIPPED = "guard_tripped"
    """A guard found a broken rule and only told so; what it rolls back or ends is an event of that kind."""
    BASELINE_ADOPTED = "baseline_adopted"
    EDITED = "edited"
    BATCH_FINISHED = "batch_finished"
    BATCH_FAILED = "batch_failed"


class GuardData(Record):
    """Why a guard acted."""

    version: VersionName = Field(description="the version that broke the rule")
    rule: str = Field(description="the rule in words")
    found: str = Field(description="what was measured, in a sentence")
    done: str = Field(description="`rolled_back`, `split_ended` or `announced`")


class RampData(Record):
    """The step of a ramp that an event began."""

    version: VersionName = Field(description="the version that gets more traffic")
    step: int = Field(description="index of the step, from 0")
    share: float = Field(description="of the traffic that it gets")


class EventData(Record):
    """What may belong to an event, by its kind."""

    status: VersionStatus | None = Field(default=None, description="registered, ready, rejected")
    digest: Digest | None = Field(
        default=None, description="registered, ready, rejected: SHA-256 of the artifact"
    )
    replaced: VersionName | None = Field(
        default=None, description="promoted, rolled_back: the production version before"
    )
    ended_split: dict[VersionName, float] | None = Field(
        default=None, description="promoted, rolled_back: the split that ended"
    )
    before: dict[VersionName, float] | None = Field(
        default=None, description="split_set, split_ended: the split before"
    )
    sample: float | None = Field(
        default=None, description="shadow_set: share of the requests that it sees"
    )
    rules: list[str] | None = Field(default=None, description="guard_set: its rules in words")
    action: str | None = Field(default=None, description="guard_set: what it does")
    guard: GuardData | None = Field(
        default=None,
        description="rolled_back, split_ended, guard_tripped: why, when a guard did it",
    )
    ramp: RampData | None = Field(
        default=None, description="split_set, promoted: the step, when a ramp did it"
    )
    profile: Digest | None = Field(
        default=None, description="baseline_adopted: SHA-256 of the bins made from it"
    )
    description: str | None = Field(default=None, description="edited: the new one")
    tags: dict[str, str] | None = Field(default=None, description="edited: the new ones")
    require: dict[str, Gate] | None = Field(default=None, description="edited: the new gates")
    log: PredictionLog | None = Field(
        default=None, description="edited: which predictions are kept from now on"
    )
    job_id: str | None = Field(default=None, description="batch_finished, batch_failed: the job")
    input: str | None = Field(default=None, description="of the job: address of the input")
    output: str | None = Field(default=None, description="of the job: address of its folder")
    manifest: str | None = Field(
        default=None, description="of the job: address of the list of files"
    )
    rows: int | None = Field(default=None, description="of the job: rows of the input")
    failed: int | None = Field(default=None, description="of the job: rows without a prediction")
    versions: dict[VersionName, int] | None = Field(
        default=None, description="of the job: rows by the version that answered"
    )


class EventRecord(Record):
    """One entry of a model's audit trail: who did what, when and why, and the state it left."""

    revision: int = Field(description="its number in the model's audit trail, from 1 without gaps")
    kind: EventKind = Field(description="what happened")
    version: VersionName | None = Field(
        default=None, description="to which version; null: to the model"
    )
    at: AwareDatetime = Field(description="when, UTC")
    actor: str = Field(description="principal of the API key")
    reason: str | None = Field(default=None, description="as the caller gave it")
    stages: dict[VersionName, Stage] = Field(
        default_factory=dict, description="stage of each version that this event moved, afterwards"
    )
    production_version: VersionName | None = Field(
        default=None, description="the production version after the event"
    )
    ab_split: dict[VersionName, float] | None = Field(
        default=None, description="the split after the event"
    )
    data: Annotated[dict[str, Any], SchemaOf(EventData)] = Field(
        default_factory=dict, description="what else belongs to this kind of event"
    )


_PLAIN_EVENT: Final = {"revision", "kind", "version", "at", "actor"}


def event_item(
    namespace: str,
    model: str,
    event: EventRecord,
    operation: str,
    announcement: Mapping[str, Any] | None = None,
) -> Item:
    """The item of an event; ``operation`` identifies the command that wrote it.

    Args:
        announcement: what the table's stream brings to the announce function, if anything.
    """
    key = {"PK": model_key(namespace, model), "SK": event_key(event.revision)}
    item: Item = {**key, "operation": operation, **stored(event, _PLAIN_EVENT)}
    if announcement is not None:
        item["outbox"] = {
            "id": f"{namespace}:{model}:event:{event.revision}",
            "namespace": namespace,
            "model": model,
            "at": event.at.isoformat(),
            **announcement,
        }
    return item
