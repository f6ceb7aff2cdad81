"""Feature services: named, versioned lists of features, so that what was trained is what is served.

Training sets and model versions refer to one as ``service:name@2``. A changed list is the next version; a
version never changes. Items of service ``name`` (``PK=SERVICE#{ns}#{name}``):

======================  ====================================================================================
``SK=META``             ``version``, the number of the newest version, and ``record``, that version as JSON;
                        listed under ``GSI1PK=SERVICES#{ns}`` until it is ``deleted``
``SK=VERSION#{9 d.}``   ``record``: a version as JSON
======================  ====================================================================================

The newest version's views cannot be deleted: ``service:{name}`` is one of the ``dependents`` of their items
(see `neuralstream_core.features.catalog`), set and taken back in the transaction that writes the version.
Numbers are never used again, also not after a deletion.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final, NamedTuple, TypeAlias

from pydantic import Field, StringConstraints

from neuralstream_core.errors import ConditionFailed, FieldError, NotFound, Unavailable
from neuralstream_core.features.catalog import view_key
from neuralstream_core.features.listing import (
    MAX_LISTED,
    MAX_VIEWS,
    FeatureService,
    SchemaSource,
    feature_of,
    invalid_features,
    views_of,
)
from neuralstream_core.features.references import (
    MAX_REFERENCE,
    REQUEST,
    FeatureReference,
    ServiceReference,
    parse_reference,
)
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.table import Item, Table
from neuralstream_core.time import Clock, from_micros
from neuralstream_core.types import Description, Frozen

__all__ = ["FeatureServices", "ServicePage", "ServiceSpec"]

Actions: TypeAlias = list[dict[str, Any]]
"""Writes of a transaction."""

_HEAD: Final = "META"
_ATTEMPTS: Final = 20


class ServiceSpec(Frozen):
    """The body of ``PUT /feature-services/{name}``."""

    features: Annotated[
        list[Annotated[str, StringConstraints(max_length=MAX_REFERENCE)]],
        Field(min_length=1, max_length=MAX_LISTED),
    ] = Field(
        description="in the order in which models take them: `view:feature`, or `view@role:feature`; at most"
        f" {MAX_LISTED}, of at most {MAX_VIEWS} views"
    )
    description: Description = Field(default="", description="for people, at most 2048 characters")


class ServicePage(NamedTuple):
    """One page of services at their newest versions, by name."""

    services: list[FeatureService]
    next_token: str | None


class FeatureServices:
    """Feature services by name.

    Args:
        table: the registry table.
        namespace: see `neuralstream_core.settings.BaseSettings.namespace`.
        clock: for ``created_at``.
        schemas: knows the feature views.

    Raises (every method):
        Unavailable: the table cannot be reached.
    """

    def __init__(self, table: Table, namespace: str, clock: Clock, schemas: SchemaSource) -> None:
        self._table, self._namespace = table, namespace
        self._clock, self._schemas = clock, schemas

    def put(self, name: str, spec: ServiceSpec) -> tuple[FeatureService, bool]:
        """Make ``spec`` the newest version of the service, unless it is that already. A changed
        description alone makes no version.

        Returns:
            The newest version, and whether this call made it.

        Raises:
            Invalid: names each feature that is unknown, listed twice or not of a view.
        """
        listed = _listed(spec.features)
        for _ in range(_ATTEMPTS):
            head = self._table.get(*self._key(name))
            newest = None if head is None else FeatureService.model_validate_json(head["record"])
            living = None if head is None or head.get("deleted") else newest
            try:
                if living is not None and living.features == tuple(spec.features):
                    return self._describe(living, spec.description), False
                return self._add(name, spec, listed, newest, living), True
            except ConditionFailed:
                continue  # another version came first, or a view is being deleted: look again
        raise Unavailable(f"the service {name} changes too often", dependency="registry")

    def fetch(self, name: str, version: int | None = None, /) -> FeatureService:
        """A version of a service; the newest one when ``None``.

        Raises:
            NotFound: no such service, or no such version of it.
        """
        head = self._table.get(*self._key(name))
        if head is None or head.get("deleted"):
            raise NotFound(f"there is no feature service {name}", code="service_not_found")
        if version is None or version == head["version"]:
            return FeatureService.model_validate_json(head["record"])
        item = self._table.get(*self._key(name, version))
        if item is None:
            raise NotFound(
                f"the feature service {name} has no version {version}; its newest is {head['version']}",
                code="service_not_found",
            )
        return FeatureService.model_validate_json(item["record"])

    def list(self, *, limit: int = 100, token: str | None = None) -> ServicePage:
        """One page of services in the order of their names."""
        page = self._table.query(
            f"SERVICES#{self._namespace}", index=True, limit=limit, token=token
        )
        services = [FeatureService.model_validate_json(item["record"]) for item in page]
        return ServicePage(services, page.next_token)

    def delete(self, name: str) -> FeatureService:
        """Forget a service, so that its views may be deleted. What was registered with it keeps its features;
        put again, it goes on with the next number.

        Returns:
            Its newest version.

        Raises:
            NotFound: no such service.
        """
        for _ in range(_ATTEMPTS):
            newest = self.fetch(name)
            forgotten = self._table.update_action(
                *self._key(name),
                "SET deleted = :yes REMOVE GSI1PK, GSI1SK",
                values={":yes": True, ":version": newest.version},
                names={"#version": "version"},
                condition="#version = :version AND attribute_not_exists(deleted)",
            )
            try:
                self._table.transact([forgotten, *self._release(name, _views(newest.features))])
            except ConditionFailed:
                continue
            return newest
        raise Unavailable(f"the service {name} changes too often", dependency="registry")

    def _add(
        self,
        name: str,
        spec: ServiceSpec,
        listed: Sequence[FeatureReference],
        newest: FeatureService | None,
        living: FeatureService | None,
    ) -> FeatureService:
        views = self._checked(listed)
        made = FeatureService(
            name=name,
            version=1 if newest is None else newest.version + 1,
            features=tuple(spec.features),
            description=spec.description,
            created_at=from_micros(self._clock()),
        )
        unused = set() if living is None else _views(living.features) - views.keys()
        pk, sk = self._key(name)
        record = made.model_dump_json()
        head: Item = {
            "PK": pk,
            "SK": sk,
            "GSI1PK": f"SERVICES#{self._namespace}",
            "GSI1SK": name,
            "version": made.version,
            "record": record,
        }
        version_pk, version_sk = self._key(name, made.version)
        actions = [
            self._table.put_action(head, condition="attribute_not_exists(PK)")
            if newest is None
            else self._table.put_action(
                head,
                condition="#version = :before AND "
                + ("attribute_not_exists(deleted)" if living else "attribute_exists(deleted)"),
                names={"#version": "version"},
                values={":before": newest.version},
            ),
            self._table.put_action(
                {"PK": version_pk, "SK": version_sk, "record": record},
                condition="attribute_not_exists(PK)",
            ),
            *self._hold(name, views.values()),
            *self._release(name, unused),
        ]
        self._table.transact(actions)
        return made

    def _checked(self, listed: Sequence[FeatureReference]) -> dict[str, FeatureView]:
        """The views of a list; raises `Invalid`."""
        views, errors = views_of(listed, self._schemas)
        if not errors:
            for place, one in enumerate(listed):
                try:
                    feature_of(one, views)
                except ValueError as error:
                    errors.append(FieldError(f"features.{place}", str(error)))
        if errors:
            raise invalid_features(errors)
        return views

    def _describe(self, service: FeatureService, description: str) -> FeatureService:
        if service.description == description:
            return service
        described = service.model_copy(update={"description": description})
        self._table.update(
            *self._key(service.name),
            "SET #record = :record",
            names={"#record": "record", "#version": "version"},
            values={":record": described.model_dump_json(), ":version": service.version},
            condition="#version = :version AND attribute_not_exists(deleted)",
        )
        return described

    def _hold(self, name: str, views: Iterable[FeatureView]) -> Actions:
        """Transaction writes that make the service a dependent of views, if these are unchanged."""
        return [
            self._table.update_action(
                *view_key(self._namespace, view.name),
                "ADD dependents :me",
                values={":me": {_label(name)}, ":generation": view.generation},
                condition="generation = :generation AND attribute_not_exists(deleting)",
            )
            for view in views
        ]

    def _release(self, name: str, views: set[str]) -> Actions:
        """Transaction writes that end the service's hold on views."""
        return [
            self._table.update_action(
                *view_key(self._namespace, view),
                "DELETE dependents :me",
                values={":me": {_label(name)}},
                condition="attribute_exists(PK)",
            )
            for view in sorted(views)
        ]

    def _key(self, name: str, version: int | None = None) -> tuple[str, str]:
        return f"SERVICE#{self._namespace}#{name}", (
            _HEAD if version is None else f"VERSION#{version:09d}"
        )


def _listed(texts: Sequence[str]) -> list[FeatureReference]:
    """The references of a service, each to a feature of a view and each once.

    Raises:
        Invalid: names each other one.
    """
    found: list[FeatureReference] = []
    errors: list[FieldError] = []
    for place, text in enumerate(texts):
        try:
            reference = parse_reference(text)
        except ValueError as error:
            errors.append(FieldError(f"features.{place}", str(error)))
            continue
        if isinstance(reference, ServiceReference):
            message = "a service lists features, not other services"
            errors.append(FieldError(f"features.{place}", message))
        elif reference.view is None:
            message = f"a service lists features of views; list {REQUEST}:… beside it"
            errors.append(FieldError(f"features.{place}", message))
        elif reference in found:
            errors.append(FieldError(f"features.{place}", f"{text} is listed twice"))
        else:
            found.append(reference)
    if errors:
        raise invalid_features(errors)
    return found


def _views(texts: Sequence[str]) -> set[str]:
    """The views of a stored list."""
    return {one.view for one in _listed(texts) if one.view is not None}


def _label(name: str) -> str:
    """How a view names the service among its dependents; a model's name holds no colon."""
    return f"service:{name}"
