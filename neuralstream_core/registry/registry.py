"""Queries of the registry, and the commands that change stages, traffic and descriptions.

Registering versions, which needs S3, feature views and a validator, is in ``registrar``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from neuralstream_core.errors import Conflict, NotFound
from neuralstream_core.registry import rules
from neuralstream_core.registry.events import EventKind, EventRecord
from neuralstream_core.registry.issuer import Issuer
from neuralstream_core.registry.journal import (
    MAX_WRITES,
    Change,
    Command,
    Committed,
    Journal,
    payload_of,
)
from neuralstream_core.registry.pages import MAX_PAGE, Listing, Tag, carries, page_of
from neuralstream_core.registry.records import (
    EVENT,
    META,
    VERSION,
    ModelRecord,
    RecordT,
    Stage,
    VersionRecord,
    VersionStatus,
    from_item,
    model_key,
    models_key,
    version_key,
)
from neuralstream_core.registry.rules import ANY
from neuralstream_core.registry.views import check_views, hold, release
from neuralstream_core.table import Table
from neuralstream_core.time import Clock, iso, system_clock, to_micros

if TYPE_CHECKING:  # the models of requests take 70 ms to build, which serving need not wait for
    from neuralstream_core.registry.requests import ModelEdit, VersionEdit

__all__ = ["Registry", "ServedModel"]

Decision: TypeAlias = Callable[[ModelRecord, rules.Versions], Change]


class ServedModel(NamedTuple):
    """A model with the versions that answer its predictions, and its shadow."""

    model: ModelRecord
    versions: Mapping[str, VersionRecord]
    """The production version, those of the split, and the shadow."""


class Registry:
    """Models and versions of one namespace.

    Every command takes ``by``: who, under which idempotency key, and how long to keep trying. A command
    sent again with its key changes nothing and gives the model as it is now.

    Raises (every method):
        NotFound: no such model or version.
        Unavailable: the table cannot be reached, or others kept changing the model.
    """

    def __init__(self, table: Table, namespace: str, clock: Clock = system_clock) -> None:
        self.table, self.namespace, self.clock = table, namespace, clock
        self.journal = Journal(table, namespace, clock)

    def model(self, model: str) -> ModelRecord:
        """One model."""
        item = self.table.get(model_key(self.namespace, model), META)
        if item is None:
            raise _unknown(model)
        return from_item(ModelRecord, item)

    def version(self, model: str, version: str) -> VersionRecord:
        """One version."""
        item = self.table.get(model_key(self.namespace, model), version_key(version))
        if item is None:
            raise NotFound(f"model {model} has no version {version}", code="version_not_found")
        return self._settled(from_item(VersionRecord, item))

    def served(self, model: str) -> ServedModel:
        """The model with the versions it serves now (none before its first promotion)."""
        found = self.model(model)
        names = set(found.ab_split or ())
        if found.production_version is not None:
            names.add(found.production_version)
        if found.shadow is not None:
            names.add(found.shadow.version)
        pk = model_key(self.namespace, model)
        items = self.table.get_many([(pk, version_key(name)) for name in names])
        records = [self._settled(from_item(VersionRecord, item)) for item in items]
        return ServedModel(found, {record.version: record for record in records})

    def models(
        self,
        *,
        prefix: str = "",
        tag: Tag | None = None,
        limit: int = MAX_PAGE,
        token: str | None = None,
    ) -> Listing[ModelRecord]:
        """Models by name; with ``prefix`` or ``tag`` only those that begin with it, or carry it."""
        return page_of(
            partial(self.table.query, models_key(self.namespace), index=True, prefix=prefix),
            read=lambda item: from_item(ModelRecord, item),
            keep=lambda m: carries(m.tags, tag),
            limit=limit,
            token=token,
        )

    def versions(
        self,
        model: str,
        *,
        stage: Stage | None = None,
        tag: Tag | None = None,
        limit: int = MAX_PAGE,
        token: str | None = None,
        newest_first: bool = True,
    ) -> Listing[VersionRecord]:
        """Versions of a model; with ``stage`` or ``tag`` only those that have it."""
        pk = model_key(self.namespace, self.model(model).name)
        return page_of(
            partial(self.table.query, pk, prefix=VERSION, newest_first=newest_first),
            read=lambda item: self._settled(from_item(VersionRecord, item)),
            keep=lambda v: stage in (None, v.stage) and carries(v.tags, tag),
            limit=limit,
            token=token,
        )

    def events(
        self,
        model: str,
        *,
        limit: int = MAX_PAGE,
        token: str | None = None,
        newest_first: bool = False,
    ) -> Listing[EventRecord]:
        """The audit trail in order: revision 1, 2, 3, … without a gap."""
        pk = model_key(self.namespace, self.model(model).name)
        return page_of(
            partial(self.table.query, pk, prefix=EVENT, newest_first=newest_first),
            read=lambda item: from_item(EventRecord, item),
            keep=lambda _: True,
            limit=limit,
            token=token,
        )

    def promote(
        self,
        model: str,
        version: str,
        by: Issuer,
        *,
        reason: str | None = None,
        expected_production: str | None = ANY,
    ) -> Committed:
        """Put a version into production; see `rules.promote`.

        Raises:
            Conflict: also when it is archived and a feature view it needs was deleted meanwhile.
        """
        payload = payload_of(version, reason, expected_production)
        return self.revive(
            Command(model, "promote", by, payload, reason),
            lambda m, versions: rules.promote(
                m, version, versions, expected_production=expected_production
            ),
            [version],
        )

    def rollback(
        self,
        model: str,
        by: Issuer,
        *,
        reason: str | None = None,
        expected_production: str | None = ANY,
    ) -> Committed:
        """Return to the former production version; see `rules.rollback`."""
        return self.change(
            Command(model, "rollback", by, payload_of(reason, expected_production), reason),
            lambda m, versions: rules.rollback(
                m, versions, expected_production=expected_production
            ),
        )

    def archive(
        self, model: str, version: str, by: Issuer, *, reason: str | None = None
    ) -> VersionRecord:
        """Take a version out of use and end its hold on its feature views; see `rules.archive`."""

        def decide(m: ModelRecord, versions: rules.Versions) -> Change:
            change = rules.archive(m, version, versions)
            actions = release(self.table, self.namespace, versions(version))
            return replace(change, actions=actions)

        command = Command(model, "archive", by, payload_of(version, reason), reason)
        return self.version_after(self.change(command, decide), by)

    def restore(
        self, model: str, version: str, by: Issuer, *, reason: str | None = None
    ) -> Committed:
        """Take an archived version back to staging; see `rules.restore`.

        Raises:
            Conflict: also when a feature view it needs was deleted meanwhile.
        """
        return self.revive(
            Command(model, "restore", by, payload_of(version, reason), reason),
            lambda m, versions: rules.restore(m, version, versions),
            [version],
        )

    def set_split(
        self, model: str, split: Mapping[str, float], by: Issuer, *, reason: str | None = None
    ) -> Committed:
        """Share the traffic between versions; see `rules.set_split`.

        Raises:
            Conflict: also when one is archived and a feature view it needs was deleted meanwhile.
        """
        return self.revive(
            Command(model, "set_split", by, payload_of(dict(split), reason), reason),
            lambda m, versions: rules.set_split(m, split, versions),
            split,
        )

    def end_split(self, model: str, by: Issuer) -> Committed:
        """All traffic to the production version; see `rules.end_split`."""
        command = Command(model, "end_split", by, payload_of())
        return self.change(command, lambda m, _: rules.end_split(m))

    def edit_model(self, model: str, edit: ModelEdit, by: Issuer) -> Committed:
        """Set a model's description, tags and gates."""
        changes = edit.changes()
        return self.change(
            Command(model, "edit_model", by, payload_of(changes)),
            lambda m, _: Change(model=_edited(m, changes), kind=EventKind.EDITED, data=changes),
        )

    def edit_version(
        self, model: str, version: str, edit: VersionEdit, by: Issuer
    ) -> VersionRecord:
        """Set a version's description and tags."""
        changes = edit.changes()
        return self._set(
            Command(model, "edit_version", by, payload_of(version, changes)),
            version,
            changes,
            EventKind.EDITED,
        )

    def set_profile(self, model: str, version: str, digest: str, by: Issuer) -> VersionRecord:
        """Adopt a stored monitoring profile as a version's baseline."""
        return self._set(
            Command(model, "set_profile", by, payload_of(version, digest)),
            version,
            {"profile": digest},
            EventKind.BASELINE_ADOPTED,
        )

    def record_event(
        self,
        model: str,
        kind: EventKind,
        by: Issuer,
        *,
        version: str | None = None,
        reason: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Committed:
        """Write something that happened elsewhere, such as a batch job, into the audit trail.

        With ``by.key`` (a job id, say) it is written once however often it is reported.
        """
        data = dict(data or {})
        return self.change(
            Command(model, f"record {kind}", by, payload_of(version, reason, data), reason),
            lambda m, _: Change(model=m, kind=kind, version=version, data=data),
        )

    def change(self, command: Command, decide: Decision) -> Committed:
        """Carry out a command on a model that exists."""

        def on_known(model: ModelRecord | None) -> Change:
            if model is None:
                raise _unknown(command.model)
            return decide(model, cache(lambda version: self.version(command.model, version)))

        return self.journal.commit(command, on_known)

    def version_after(self, done: Committed, by: Issuer) -> VersionRecord:
        """The version that a command's event names, as the command left it; as it is now, if the command
        was carried out before."""
        name = done.event.version or ""
        written = (version for version in done.versions if version.version == name)
        return next(written, None) or by.retry(lambda: self.version(done.model.name, name))

    def _set(
        self, command: Command, version: str, changes: Mapping[str, Any], kind: EventKind
    ) -> VersionRecord:
        done = self.change(
            command,
            lambda m, versions: Change(
                model=m,
                kind=kind,
                version=version,
                versions=[_edited(versions(version), changes)],
                data=changes,
            ),
        )
        return self.version_after(done, command.by)

    def revive(self, command: Command, decide: Decision, names: Iterable[str]) -> Committed:
        """Carry out a command with a new hold on the views of those of its versions that were archived.

        Raises:
            Conflict: a view was deleted, or one transaction cannot hold that many.
        """

        def holding(model: ModelRecord, versions: rules.Versions) -> Change:
            change = decide(model, versions)
            archived = [v for v in map(versions, names) if v.stage is Stage.ARCHIVED]
            for version in archived:
                check_views(self.table, self.namespace, version)
            released = [version for version in archived if version.retired]
            actions = hold(self.table, self.namespace, *released)
            if len(actions) + len(change.versions) > MAX_WRITES:
                raise Conflict(
                    "the archived versions need too many feature views at once; promote some of them "
                    "to staging first",
                    code="too_many_views",
                )
            return replace(change, actions=actions)

        return self.change(command, holding)

    def _settled(self, version: VersionRecord) -> VersionRecord:
        """The version, REJECTED if its artifact was not uploaded in time; this state is computed when a
        version is read, not stored."""
        expires = version.upload_expires_at
        if version.status is not VersionStatus.PENDING_UPLOAD or expires is None:
            return version
        if self.clock() < to_micros(expires):
            return version
        reason = f"the artifact was not uploaded by {iso(to_micros(expires))}"
        return version.model_copy(update={"status": VersionStatus.REJECTED, "reason": reason})


def _edited(record: RecordT, changes: Mapping[str, Any]) -> RecordT:
    return type(record).model_validate({**record.model_dump(), **changes})


def _unknown(model: str) -> NotFound:
    return NotFound(f"there is no model {model}", code="model_not_found")
