"""The catalog of feature views: one DynamoDB item per view, cached in process.

Item of view ``name`` (``PK=VIEW#{ns}#{name}``, ``SK=META``, listed under ``GSI1PK=VIEWS#{ns}``):

==================  ====================================================================================
``view``            the `FeatureView` as JSON: exact numbers, one attribute to read
``revision``        raised by every change; a change is conditional on the revision it was made from
``dependents``      string set of ``model@vN``: model versions that read the view, and of ``service:name``:
                    feature services that list its features. Who writes these keeps it, in the same
                    transaction (``ADD dependents :d`` if the view is unchanged and not ``deleting``)
``deleting``        true from the moment a deletion began; ``cursor`` and ``removed`` are how far it got
==================  ====================================================================================
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from time import monotonic
from typing import Final, NamedTuple

from neuralstream_core.errors import ConditionFailed, Conflict, Invalid, NotFound, Unavailable
from neuralstream_core.features.schema import RESERVED, FeatureView, ViewSpec
from neuralstream_core.table import Item, Table
from neuralstream_core.time import Clock, Micros, from_micros

__all__ = ["Catalog", "Deletion", "ViewPage", "view_key"]

_SORT: Final = "META"
_ATTEMPTS: Final = 10
_REFRESHES_A_SECOND: Final = 20
_OUTAGE_SECONDS: Final = 10.0
"""How much longer the last known view serves before the table is tried again, once it was down."""


def view_key(namespace: str, name: str) -> tuple[str, str]:
    """Partition and sort key of a view's item, for transactions that touch it."""
    return f"VIEW#{namespace}#{name}", _SORT


class ViewPage(NamedTuple):
    """One page of views, by name."""

    views: list[FeatureView]
    next_token: str | None


class Deletion(NamedTuple):
    """A deletion under way: whose rows, and how far."""

    name: str
    generation: str
    cursor: bytes | None
    removed: int


@dataclass(slots=True)
class _Entry:
    view: FeatureView
    fetched: float


class Catalog:
    """Views by name.

    `get` answers from this process for ``refresh_seconds``. After that it asks the table, and when the
    table is down it goes on with the last view it knew. Changes always go to the table.

    Args:
        table: the registry table.
        namespace: see `neuralstream_core.settings.BaseSettings.namespace`.
        clock: for ``created_at`` and ``updated_at``.
        refresh_seconds: how old a cached view may be.
    """

    def __init__(
        self, table: Table, namespace: str, clock: Clock, *, refresh_seconds: float = 3.0
    ) -> None:
        self._table = table
        self._namespace = namespace
        self._clock = clock
        self._refresh = refresh_seconds
        self._cache: dict[str, _Entry] = {}
        self._asked = monotonic()
        self._allowance = float(_REFRESHES_A_SECOND)

    def get(self, name: str) -> FeatureView:
        """The view ``name``.

        Raises:
            NotFound: no such view, or it is being deleted.
            Unavailable: the table is down and this process never saw the view.
        """
        entry = self._cache.get(name)
        if entry is not None and monotonic() - entry.fetched < self._refresh:
            return entry.view
        return self.fetch(name)

    def latest(self, name: str) -> FeatureView:
        """The view as the table has it now, for who found the cached one wanting (a feature it does not
        know, an entity it cannot find). At most twenty times per second on average, so that wrong requests
        cannot make the table's load; the cached one otherwise.
        """
        now = monotonic()
        entry = self._cache.get(name)
        earned = (now - self._asked) * _REFRESHES_A_SECOND
        self._allowance = min(self._allowance + earned, _REFRESHES_A_SECOND)
        self._asked = now
        table_is_down = entry is not None and entry.fetched > now
        if table_is_down or self._allowance < 1:
            return self.get(name)
        self._allowance -= 1
        return self.fetch(name)

    def fetch(self, name: str) -> FeatureView:
        """The view as the table has it now; the last known one when the table is down."""
        entry = self._cache.get(name)
        try:
            item = self._table.get(*view_key(self._namespace, name))
        except Unavailable:
            if entry is None:
                raise
            entry.fetched = monotonic() + _OUTAGE_SECONDS  # not with every request: a try is slow
            return entry.view
        if item is None or item.get("deleting"):
            self._cache.pop(name, None)
            raise _no_view(name)
        return self._keep(name, item)

    def _keep(self, name: str, item: Item) -> FeatureView:
        entry = self._cache.get(name)
        if (
            entry is not None
            and entry.view.revision == item["revision"]
            and entry.view.generation == item["generation"]
        ):
            entry.fetched = monotonic()  # the same object: everything derived from it stays valid
            return entry.view
        view = FeatureView.model_validate_json(item["view"])
        self._cache[name] = _Entry(view, monotonic())
        return view

    def put(self, name: str, spec: ViewSpec) -> tuple[FeatureView, bool]:
        """Create the view, or bring it to what ``spec`` says. Racing callers: each change is judged
        against the one that came before it.

        Returns:
            The view, and whether it is new.

        Raises:
            Invalid: the name is reserved.
            Conflict: ``spec`` is not compatible with the view, or the view is being deleted.
        """
        key = view_key(self._namespace, name)
        for _ in range(_ATTEMPTS):
            item = self._table.get(*key)
            if item is not None and item.get("deleting"):
                raise Conflict(
                    f"view {name} is being deleted; repeat the DELETE until it is done",
                    code="view_deleting",
                )
            try:
                if item is None:
                    return self._create(name, spec), True
                return self._change(item, spec), False
            except ConditionFailed:
                continue  # another change came first: judge this one against its result
        raise Unavailable(f"view {name} changes too often", dependency="registry")

    def _create(self, name: str, spec: ViewSpec) -> FeatureView:
        if name in RESERVED:
            raise Invalid.at("path.name", f"{name} is a reserved name", code="reserved_name")
        at = self._clock()
        now = from_micros(at)
        view = FeatureView(
            name=name,
            keys=spec.keys,
            features=tuple(spec.features),
            ttl_seconds=spec.ttl_seconds,
            history=spec.history,
            history_since=at,
            history_complete=spec.history,
            description=spec.description,
            owner=spec.owner,
            tags=dict(spec.tags),
            generation=secrets.token_urlsafe(8),
            created_at=now,
            updated_at=now,
        )
        pk, sk = view_key(self._namespace, name)
        item: Item = {
            "PK": pk,
            "SK": sk,
            "GSI1PK": f"VIEWS#{self._namespace}",
            "GSI1SK": name,
            "view": view.model_dump_json(),
            "generation": view.generation,
            "revision": view.revision,
        }
        self._table.put(item, condition="attribute_not_exists(PK)")
        return self._keep(name, item)

    def _change(self, item: Item, spec: ViewSpec) -> FeatureView:
        old = FeatureView.model_validate_json(item["view"])
        new = old.evolve(spec)
        if new == old:
            return self._keep(old.name, item)
        if not new.history:
            new = new.model_copy(update={"history_complete": False})
        elif not old.history:
            new = new.model_copy(update={"history_since": self._clock()})
        return self._replace(old, new)

    def note_complete(self, name: str, generation: str, history_since: Micros) -> bool:
        """Note that every row of a view is in its history, if it kept one all the time.

        Args:
            history_since: `FeatureView.history_since` before the rows were looked at.

        Returns:
            Whether it is noted.

        Raises:
            NotFound: the view was deleted, or created anew.
        """
        for _ in range(_ATTEMPTS):
            item = self._table.get(*view_key(self._namespace, name))
            if item is None or item.get("deleting") or item["generation"] != generation:
                raise _no_view(name)
            old = FeatureView.model_validate_json(item["view"])
            if not old.history or old.history_since != history_since:
                return False
            try:
                self._replace(old, old.model_copy(update={"history_complete": True}))
            except ConditionFailed:
                continue
            return True
        raise Unavailable(f"view {name} changes too often", dependency="registry")

    def _replace(self, old: FeatureView, new: FeatureView) -> FeatureView:
        """Raises:
        ConditionFailed: the view was changed since it was read.
        """
        new = new.model_copy(
            update={"revision": old.revision + 1, "updated_at": from_micros(self._clock())}
        )
        changed = self._table.update(
            *view_key(self._namespace, old.name),
            "SET #view = :view, #revision = :next",
            names={"#view": "view", "#revision": "revision", "#generation": "generation"},
            values={
                ":view": new.model_dump_json(),
                ":next": new.revision,
                ":now": old.revision,
                ":generation": old.generation,
            },
            condition="#revision = :now AND #generation = :generation"
            " AND attribute_not_exists(deleting)",
        )
        return self._keep(old.name, changed)

    def list(self, *, prefix: str = "", limit: int = 100, token: str | None = None) -> ViewPage:
        """One page of views in the order of their names; with ``prefix`` of those that begin with it."""
        listed = f"VIEWS#{self._namespace}"
        page = self._table.query(listed, index=True, prefix=prefix, limit=limit, token=token)
        views = [
            FeatureView.model_validate_json(item["view"])
            for item in page
            if not item.get("deleting")
        ]
        return ViewPage(views, page.next_token)

    def begin_delete(self, name: str) -> Deletion:
        """Mark the view as being deleted, or pick up a deletion that began before.

        Raises:
            NotFound: no such view.
            Conflict: model versions or feature services depend on it; names them.
        """
        key = view_key(self._namespace, name)
        try:
            item = self._table.update(
                *key,
                "SET deleting = :yes",
                values={":yes": True},
                condition="attribute_exists(PK) AND attribute_not_exists(dependents)",
            )
        except ConditionFailed:
            found = self._table.get(*key)
            if found is None:
                raise _no_view(name) from None
            dependents = sorted(found.get("dependents", ()))
            some = ", ".join(dependents[:5]) + (", …" if len(dependents) > 5 else "")
            raise Conflict(
                f"view {name} is used by {some}; nothing was deleted", code="view_in_use"
            ) from None
        self._cache.pop(name, None)
        return Deletion(name, item["generation"], item.get("cursor"), item.get("removed", 0))

    def note_progress(self, deletion: Deletion) -> None:
        """Remember how far a deletion got, for whoever goes on with it."""
        key = view_key(self._namespace, deletion.name)
        try:
            self._table.update(
                *key,
                "SET #cursor = :cursor, removed = :removed",
                names={"#cursor": "cursor"},
                values={
                    ":cursor": deletion.cursor,
                    ":removed": deletion.removed,
                    ":generation": deletion.generation,
                },
                condition="generation = :generation",
            )
        except ConditionFailed:
            return  # another caller finished it meanwhile

    def finish_delete(self, deletion: Deletion) -> None:
        """Forget the view; its rows are gone."""
        try:
            self._table.delete(
                *view_key(self._namespace, deletion.name),
                condition="generation = :generation",
                values={":generation": deletion.generation},
            )
        except ConditionFailed:
            return  # another caller finished it meanwhile


def _no_view(name: str) -> NotFound:
    return NotFound(f"there is no feature view {name}", code="view_not_found")
