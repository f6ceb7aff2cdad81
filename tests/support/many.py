"""Registries that have grown large: records as the API stores them, many times."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any, Final

from neuralstream_local.laptop import TABLE
from tests.support.stack import RunningStack

__all__ = ["many_versions", "many_views"]

_AT_ONCE: Final = 25
"""Items of one batch, DynamoDB's limit."""

Stored = Mapping[str, Any]
"""An item as DynamoDB's API has it."""


@contextmanager
def many_views(stack: RunningStack, like: str, count: int) -> Iterator[list[str]]:
    """``count`` views beside the view ``like``, equal to it but for their names: ``{like}_00001``, …

    They are written to the table itself: the routes would take minutes for thousands. Deleted afterwards.
    """
    seed = _items(stack, f"VIEW#default#{like}")[0]
    names = [f"{like}_{number:05}" for number in range(1, count + 1)]

    def view(name: str) -> Stored:
        declared = json.loads(seed["view"]["S"]) | {"name": name}
        return seed | {
            "PK": {"S": f"VIEW#default#{name}"},
            "GSI1SK": {"S": name},
            "view": {"S": json.dumps(declared)},
        }

    with _stored(stack, map(view, names)):
        yield names


@contextmanager
def many_versions(stack: RunningStack, model: str, count: int) -> Iterator[None]:
    """Brings a model of one version to ``count`` READY ones, each with its event; deleted afterwards."""
    items = {item["SK"]["S"]: item for item in _items(stack, f"MODEL#default#{model}")}
    model_item, seed = items["META"], items["VERSION#000000001"]
    revision = int(model_item["revision"]["N"])
    event = items["EVENT#000000000001"]

    def version(number: int) -> Iterator[Stored]:
        name = f"v{number}"
        opaque = json.loads(seed["opaque"]["S"]) | {"version": name}
        yield seed | {
            "SK": {"S": f"VERSION#{number:09}"},
            "stage": {"S": "staging"},
            "opaque": {"S": json.dumps(opaque)},
        }
        at = revision + number - 1
        yield event | {
            "SK": {"S": f"EVENT#{at:012}"},
            "revision": {"N": str(at)},
            "version": {"S": name},
        }

    grown = model_item | {
        "latest_version": {"S": f"v{count}"},
        "revision": {"N": str(revision + count - 1)},
    }
    client = stack.client("dynamodb")
    with _stored(stack, chain.from_iterable(map(version, range(2, count + 1)))):
        client.put_item(TableName=TABLE, Item=grown)
        yield
        client.put_item(TableName=TABLE, Item=model_item)


def _items(stack: RunningStack, pk: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stack.client("dynamodb").query(
        TableName=TABLE,
        KeyConditionExpression="PK = :pk",
        ExpressionAttributeValues={":pk": {"S": pk}},
    )["Items"]
    return found


@contextmanager
def _stored(stack: RunningStack, items: Iterator[Stored]) -> Iterator[None]:
    client = stack.client("dynamodb")
    keys: list[Stored] = []
    while some := list(islice(items, _AT_ONCE)):
        client.batch_write_item(RequestItems={TABLE: [{"PutRequest": {"Item": i}} for i in some]})
        keys += [{"PK": item["PK"], "SK": item["SK"]} for item in some]
    try:
        yield
    finally:
        for place in range(0, len(keys), _AT_ONCE):
            gone = keys[place : place + _AT_ONCE]
            asked = [{"DeleteRequest": {"Key": key}} for key in gone]
            client.batch_write_item(RequestItems={TABLE: asked})
