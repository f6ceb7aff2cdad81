"""The registry: queries, and the commands that change stages, traffic and descriptions.

Registering versions, which needs S3, feature views and a validator, is in ``registrar``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

from neuralstream_core.errors import Conflict, NotFound
from neuralstream_core.registry import rules
from neuralstream_core.registry.events import EventKind, EventRecord, read_event
from neuralstream_core.registry.issuer import Issuer
from neuralstream_core.registry.journal import MAX_WRITES, Change, Command, Committed, Journal
from neuralstream_core.registry.records import (
    EVENT,
    META,
    VERSION,
    ModelRecord,
    Stage,
    VersionRecord,
    VersionStatus,
    model_key,
    models_key,
    read_model,
    read_version,
    version_key,
)
from neuralstream_core.registry.rules import ANY
from neuralstream_core.registry.views import check_views, hold, release
from neuralstream_core.table import Item, Table
from neuralstream_core.time import Clock, iso, system_clock, to_micros

if TYPE_CHECKING:  # the models of requests take 70 ms to build, which serving need not wait for
    from neuralstream_core.registry.requests import ModelEdit, VersionEdit

__all__ = ["MAX_PAGE", "Listing", "Registry", "ServedModel"]

MAX_PAGE: Final = 200
_PAGES_SCANNED: Final = 10

R = TypeVar("R")
RecordT = TypeVar("RecordT", ModelRecord, VersionRecord)
Tag: TypeAlias = tuple[str, str | None]
"""A tag's key and, unless any will do, its value."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model with the versions that answer its predictions."""

    model: ModelRecord
    versions: Mapping[str, VersionRecord]
    """The production version and those of the split."""


@dataclass(frozen=True, slots=True)
class Listing(Generic[R]):
    """One page: the records and the token of the next page, ``None`` on the last."""

    records: list[R]
    next_token: str | None


class Registry:
    """Models and versions of one namespace.

    Every command takes ``by``: who, under which idempotency key, and how long to keep trying. A command
    sent again with its key changes nothing and gives the model as it is now.

    Raises (every method):
        NotFound: no such model or version.
        Unavailable: the table cannot be reached, or others kept changing the model.
    """

    def __init__(self, table: Table, namespace: str, clock: Clock = system_clock) -> None:
        self.table = table
        self.namespace = namespace
        self.clock = clock
        self.journal = Journal(table, namespace, clock)

    # -- queries ------------------------------------------------------------------------------

    def model(self, model: str) -> ModelRecord:
        """One model."""
        item = self.table.get(model_key(self.namespace, model), META)
        if item is None:
            raise _unknown(model)
        return read_model(item)

    def version(self, model: str, version: str) -> VersionRecord:
        """One version."""
        item = self.table.get(model_key(self.namespace, model), version_key(version))
        if item is None:
            raise NotFound(f"model {model} has no version {version}", code="version_not_found")
        return self._settled(read_version(item))

    def served(self, model: str) -> ServedModel:
        """The model with the versions it serves now (none before its first promotion)."""
        found = self.model(model)
        names = set(found.ab_split or ())
        if found.production_version is not None:
            names.add(found.production_version)
        pk = model_key(self.namespace, model)
        items = self.table.get_many([(pk, version_key(name)) for name in names])
        records = [self._settled(read_version(item)) for item in items]
        return ServedModel(found, {record.version: record for record in records})

    def models(
        self, *, tag: Tag | None = None, limit: int = MAX_PAGE, token: str | None = None
    ) -> Listing[ModelRecord]:
        """Models by name; with ``tag`` only those that carry it."""
        return self._page(
            models_key(self.namespace),
            read=read_model,
            keep=lambda m: tag is None or _carries(m.tags, tag),
            limit=limit,
            token=token,
            index=True,
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
        self.model(model)
        return self._page(
            model_key(self.namespace, model),
            prefix=VERSION,
            read=lambda item: self._settled(read_version(item)),
            keep=lambda v: (
                (stage is None or v.stage is stage) and (tag is None or _carries(v.tags, tag))
            ),
            limit=limit,
            token=token,
            newest_first=newest_first,
        )

    def events(
        self, model: str, *, limit: int = MAX_PAGE, token: str | None = None
    ) -> Listing[EventRecord]:
        """The audit trail in order: revision 1, 2, 3, … without a gap."""
        self.model(model)
        return self._page(
            model_key(self.namespace, model),
            prefix=EVENT,
            read=read_event,
            keep=lambda _: True,
            limit=limit,
            token=token,
        )

    # -- commands -----------------------------------------------------------------------------

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

        def decide(m: ModelRecord, versions: rules.Versions) -> Change:
            change = rules.promote(
                m, version, versions, reason=reason, expected_production=expected_production
            )
            return self._revive(change, [versions(version)])

        command = Command(model, "promote", by, _payload(version, reason, expected_production))
        return self.change(command, decide)

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
            Command(model, "rollback", by, _payload(reason, expected_production)),
            lambda m, versions: rules.rollback(
                m, versions, reason=reason, expected_production=expected_production
            ),
        )

    def archive(
        self, model: str, version: str, by: Issuer, *, reason: str | None = None
    ) -> Committed:
        """Take a version out of use and let go of its feature views; see `rules.archive`."""

        def decide(m: ModelRecord, versions: rules.Versions) -> Change:
            change = rules.archive(m, version, versions, reason=reason)
            actions = release(self.table, self.namespace, versions(version))
            return replace(change, actions=actions)

        return self.change(Command(model, "archive", by, _payload(version, reason)), decide)

    def restore(
        self, model: str, version: str, by: Issuer, *, reason: str | None = None
    ) -> Committed:
        """Take an archived version back to staging; see `rules.restore`.

        Raises:
            Conflict: also when a feature view it needs was deleted meanwhile.
        """

        def decide(m: ModelRecord, versions: rules.Versions) -> Change:
            change = rules.restore(m, version, versions, reason=reason)
            return self._revive(change, [versions(version)])

        return self.change(Command(model, "restore", by, _payload(version, reason)), decide)

    def set_split(
        self, model: str, split: Mapping[str, float], by: Issuer, *, reason: str | None = None
    ) -> Committed:
        """Share the traffic between versions; see `rules.set_split`.

        Raises:
            Conflict: also when one is archived and a feature view it needs was deleted meanwhile.
        """

        def decide(m: ModelRecord, versions: rules.Versions) -> Change:
            change = rules.set_split(m, split, versions, reason=reason)
            return self._revive(change, [versions(name) for name in split])

        return self.change(Command(model, "set_split", by, _payload(dict(split), reason)), decide)

    def end_split(self, model: str, by: Issuer, *, reason: str | None = None) -> Committed:
        """All traffic to the production version; see `rules.end_split`."""
        return self.change(
            Command(model, "end_split", by, _payload(reason)),
            lambda m, _: rules.end_split(m, reason=reason),
        )

    def edit_model(self, model: str, edit: ModelEdit, by: Issuer) -> Committed:
        """Set a model's description, tags and gates."""
        changes = edit.changes()
        return self.change(
            Command(model, "edit_model", by, _payload(changes)),
            lambda m, _: Change(model=_edited(m, changes), kind=EventKind.EDITED, data=changes),
        )

    def edit_version(self, model: str, version: str, edit: VersionEdit, by: Issuer) -> Committed:
        """Set a version's description and tags."""
        changes = edit.changes()
        return self.change(
            Command(model, "edit_version", by, _payload(version, changes)),
            lambda m, versions: Change(
                model=m,
                kind=EventKind.EDITED,
                version=version,
                versions=[_edited(versions(version), changes)],
                data=changes,
            ),
        )

    def set_profile(self, model: str, version: str, digest: str, by: Issuer) -> Committed:
        """Adopt a stored monitoring profile as a version's baseline."""
        return self.change(
            Command(model, "set_profile", by, _payload(version, digest)),
            lambda m, versions: Change(
                model=m,
                kind=EventKind.BASELINE_ADOPTED,
                version=version,
                versions=[versions(version).model_copy(update={"profile": digest})],
                data={"profile": digest},
            ),
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
            Command(model, f"record {kind}", by, _payload(version, reason, data)),
            lambda m, _: Change(model=m, kind=kind, version=version, reason=reason, data=data),
        )

    def change(
        self, command: Command, decide: Callable[[ModelRecord, rules.Versions], Change]
    ) -> Committed:
        """Carry out a command on a model that exists."""

        def on_known(model: ModelRecord | None) -> Change:
            if model is None:
                raise _unknown(command.model)
            return decide(model, lambda version: self.version(command.model, version))

        return self.journal.commit(command, on_known)

    # -- internals ----------------------------------------------------------------------------

    def _revive(self, change: Change, targets: Sequence[VersionRecord]) -> Change:
        """``change`` with a new hold on the views of those of its ``targets`` that were archived.

        Raises:
            Conflict: a view was deleted, or one transaction cannot hold that many.
        """
        archived = [version for version in targets if version.stage is Stage.ARCHIVED]
        for version in archived:
            check_views(self.table, self.namespace, version)
        released = [version for version in archived if version.retired]
        actions = hold(self.table, self.namespace, *released)
        if len(actions) + len(change.versions) > MAX_WRITES:
            raise Conflict(
                "the archived versions need too many feature views at once; promote some of them to "
                "staging first",
                code="too_many_views",
            )
        return replace(change, actions=actions)

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

    def _page(
        self,
        pk: str,
        *,
        read: Callable[[Item], R],
        keep: Callable[[R], bool],
        limit: int,
        token: str | None,
        prefix: str = "",
        index: bool = False,
        newest_first: bool = False,
    ) -> Listing[R]:
        """Up to ``limit`` records that ``keep`` accepts. A page may be shorter without being the last:
        at most `_PAGES_SCANNED` pages of the table are read for one answer."""
        records: list[R] = []
        for _ in range(_PAGES_SCANNED):
            page = self.table.query(
                pk,
                prefix=prefix,
                index=index,
                limit=limit - len(records),
                token=token,
                newest_first=newest_first,
            )
            records += [record for item in page if keep(record := read(item))]
            token = page.next_token
            if token is None or len(records) == limit:
                break
        return Listing(records, token)


def _edited(record: RecordT, changes: Mapping[str, Any]) -> RecordT:
    return type(record).model_validate({**record.model_dump(), **changes})


def _carries(tags: Mapping[str, str], tag: Tag) -> bool:
    key, value = tag
    return key in tags and value in (None, tags[key])


def _unknown(model: str) -> NotFound:
    return NotFound(f"there is no model {model}", code="model_not_found")


def _payload(*parts: Any) -> bytes:
    return json.dumps(parts, sort_keys=True).encode()
