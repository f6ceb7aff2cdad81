"""The registry's items in the one table: keys, codecs and access patterns.

=====================  ======================  ==================================================
PK                     SK                      what
=====================  ======================  ==================================================
``MODEL#{ns}#{name}``  ``META``                the model: production version, split, history,
                                               gates, ``revision`` (number of its last event);
                                               ``GSI1PK=MODELS#{ns}``, ``GSI1SK={name}``
same                   ``VERSION#{9 digits}``  a version
same                   ``EVENT#{12 digits}``   an audit event, by revision, dense from 1
same                   ``KEY#{sha256}``        a used idempotency key → its event; DynamoDB
                                               deletes it after ``expires_at`` (epoch seconds)
``VIEW#{ns}#{view}``   ``META``                owned by the feature catalog; the registry adds
                                               ``model@vN`` to its string set ``dependents``
=====================  ======================  ==================================================

==============================================  ==================================================
access pattern                                  how
==============================================  ==================================================
a model; a version; an idempotency key          GetItem, consistent
models of a namespace by name, paged            Query ``GSI1`` (eventually consistent)
versions of a model, newest first, paged        Query ``begins_with(SK, "VERSION#")``
events of a model in order, paged               Query ``begins_with(SK, "EVENT#")``
what serving needs to route                     GetItem of the model, then one BatchGetItem
any change                                      TransactWriteItems: model (if ``revision`` still
                                                holds), event, versions, key, views
==============================================  ==================================================

Parts that a caller shapes freely (params, lineage, features, …) are stored as one JSON text: DynamoDB
would turn 1.0 into 1, refuse 1e300 and nesting deeper than 32.
"""

from __future__ import annotations

import json
from typing import Final

from neuralstream_core.registry.records import (
    EventRecord,
    ModelRecord,
    VersionRecord,
    number_of,
)
from neuralstream_core.table import Item

__all__ = [
    "EVENT",
    "META",
    "VERSION",
    "event_item",
    "event_key",
    "model_item",
    "model_key",
    "models_key",
    "read_event",
    "read_model",
    "read_version",
    "version_item",
    "version_key",
    "view_key",
]

META: Final = "META"
VERSION: Final = "VERSION#"
EVENT: Final = "EVENT#"

_OPAQUE_MODEL: Final = {"require", "ab_split", "allocation"}
_PLAIN_VERSION: Final = {"status", "stage", "retired", "description", "tags", "profile"}
_PLAIN_EVENT: Final = {"revision", "kind", "version", "at", "actor"}


def model_key(namespace: str, model: str) -> str:
    """Partition of everything about one model."""
    return f"MODEL#{namespace}#{model}"


def models_key(namespace: str) -> str:
    """Partition of the listing of models in ``GSI1``."""
    return f"MODELS#{namespace}"


def version_key(version: str) -> str:
    """Sort key of a version; zero-padded, so that v10 follows v9."""
    return f"{VERSION}{number_of(version):09d}"


def event_key(revision: int) -> str:
    """Sort key of an event."""
    return f"{EVENT}{revision:012d}"


def view_key(namespace: str, view: str) -> str:
    """Partition of a feature view (owned by ``neuralstream_core.features.catalog``)."""
    return f"VIEW#{namespace}#{view}"


def model_item(namespace: str, model: ModelRecord) -> Item:
    """The item of a model."""
    plain = model.model_dump(mode="json", exclude=_OPAQUE_MODEL)
    opaque = model.model_dump(mode="json", include=_OPAQUE_MODEL)
    return {
        "PK": model_key(namespace, model.name),
        "SK": META,
        "GSI1PK": models_key(namespace),
        "GSI1SK": model.name,
        **plain,
        "opaque": json.dumps(opaque),
    }


def read_model(item: Item) -> ModelRecord:
    """The model of an item."""
    return ModelRecord.model_validate({**item, **json.loads(item["opaque"])})


def version_item(namespace: str, version: VersionRecord) -> Item:
    """The item of a version."""
    plain = version.model_dump(mode="json", include=_PLAIN_VERSION)
    return {
        "PK": model_key(namespace, version.model),
        "SK": version_key(version.version),
        **plain,
        "opaque": version.model_dump_json(exclude=_PLAIN_VERSION),
    }


def read_version(item: Item) -> VersionRecord:
    """The version of an item."""
    return VersionRecord.model_validate({**json.loads(item["opaque"]), **item})


def event_item(namespace: str, model: str, event: EventRecord, operation: str) -> Item:
    """The item of an event; ``operation`` identifies the command that wrote it."""
    plain = event.model_dump(mode="json", include=_PLAIN_EVENT)
    return {
        "PK": model_key(namespace, model),
        "SK": event_key(event.revision),
        **plain,
        "operation": operation,
        "opaque": event.model_dump_json(exclude=_PLAIN_EVENT),
    }


def read_event(item: Item) -> EventRecord:
    """The event of an item."""
    return EventRecord.model_validate({**json.loads(item["opaque"]), **item})
