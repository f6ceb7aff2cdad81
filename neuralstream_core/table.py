"""The one DynamoDB table, as a small typed surface over the low-level client.

Every item has string keys ``PK`` and ``SK``; items that are listed also carry ``GSI1PK``/``GSI1SK``
(index ``GSI1``). Which module owns which keys is written in that module:

========================  ==========================================
``VIEW#{ns}#{name}``      `neuralstream_core.features.catalog`
``MODEL#{ns}#{name}``     `neuralstream_core.registry`
``JOB#{ns}#{id}``         `neuralstream_core.jobs`
``SERVICE#{ns}#{name}``   `neuralstream_core.features.services`
``SCHEDULE#{ns}#{name}``  `neuralstream_core.schedules`
``DRIFT#{ns}#{name}``     `neuralstream_core.monitoring`
``DONE#{ns}#{what}``      ``neuralstream_lambda.redelivery``
========================  ==========================================

Numbers go in as ``int`` or ``float``; DynamoDB keeps no difference, so ``1.0`` comes out as ``1``.
boto3 and botocore are imported by whoever builds the client, never here at import time.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack

from neuralstream_core.errors import ConditionFailed, Invalid, TooLarge, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

__all__ = ["Item", "Page", "Table", "marshal", "unmarshal"]

Item: TypeAlias = dict[str, Any]

_UNPROCESSED_ROUNDS = 5
_RETRYABLE_REASONS = frozenset(
    {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
)


def marshal(value: Any) -> dict[str, Any]:
    """One Python value as a DynamoDB attribute value."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case int() | float():
            return {"N": str(value)}
        case bytes():
            return {"B": value}
        case set() | frozenset():
            return {"SS": sorted(value)}
        case Mapping():
            return {"M": {str(k): marshal(v) for k, v in value.items()}}
        case Sequence():
            return {"L": [marshal(v) for v in value]}
        case _:
            raise TypeError(f"cannot store a {type(value).__name__}")


def unmarshal(attribute: Mapping[str, Any]) -> Any:
    """The Python value of a DynamoDB attribute value; a string set becomes a ``set``."""
    ((kind, value),) = attribute.items()
    match kind:
        case "NULL":
            return None
        case "N":
            return int(value) if value.removeprefix("-").isdigit() else float(value)
        case "M":
            return {k: unmarshal(v) for k, v in value.items()}
        case "L":
            return [unmarshal(v) for v in value]
        case "SS":
            return set(value)
        case _:
            return value


class Condition(TypedDict, total=False):
    """On what a write depends.

    Attributes:
        condition: DynamoDB's condition expression.
        values: what the names with ``:`` in the expressions stand for.
        names: what the names with ``#`` stand for: attributes whose own names are reserved words.
    """

    condition: str
    values: Item
    names: Mapping[str, str]


class Page(list[Item]):
    """Items of one query, with the opaque token of the next page (``None`` on the last)."""

    next_token: str | None = None


class Table:
    """Reads and conditional writes on one table.

    Args:
        client: a ``boto3.client("dynamodb")`` with its own timeouts and retries.
        name: the table's name.
        dependency: which of the stack's tables it is, for errors.

    Raises (every method):
        Unavailable: DynamoDB cannot be reached, throttles beyond the client's retries, or failed.
        ConditionFailed: a condition did not hold; nothing was written.
    """

    def __init__(self, client: DynamoDBClient, name: str, *, dependency: str = "registry") -> None:
        self._client = client
        self.name = name
        self._dependency = dependency

    def get(self, pk: str, sk: str, *, consistent: bool = True) -> Item | None:
        """One item, or ``None``."""
        answer = self._call(
            "get_item", Key={"PK": {"S": pk}, "SK": {"S": sk}}, ConsistentRead=consistent
        )
        item = answer.get("Item")
        return None if item is None else _unmarshal_item(item)

    def get_many(self, keys: Sequence[tuple[str, str]]) -> list[Item]:
        """The items among ``keys`` (at most 100) that exist, in no particular order, consistently read."""
        if not keys:
            return []
        pending: Any = {
            self.name: {"Keys": [_key(pk, sk) for pk, sk in keys], "ConsistentRead": True}
        }
        items: list[Item] = []
        for _ in range(_UNPROCESSED_ROUNDS):
            answer = self._call("batch_get_item", table=False, RequestItems=pending)
            items += [_unmarshal_item(item) for item in answer["Responses"].get(self.name, [])]
            pending = answer.get("UnprocessedKeys")
            if not pending:
                return items
        raise _busy(self._dependency)

    def query(
        self,
        pk: str,
        *,
        prefix: str = "",
        after: str | None = None,
        index: bool = False,
        limit: int | None = None,
        token: str | None = None,
        newest_first: bool = False,
    ) -> Page:
        """Items below one partition key whose sort key starts with ``prefix``, one page of them.

        Args:
            after: in place of ``prefix``: only items whose sort key is greater.
            token: of the page before; it contains the keys of that page's last item.
        """
        name_pk, name_sk = ("GSI1PK", "GSI1SK") if index else ("PK", "SK")
        request: dict[str, Any] = {
            "KeyConditionExpression": "#pk = :pk",
            "ExpressionAttributeNames": {"#pk": name_pk},
            "ExpressionAttributeValues": {":pk": {"S": pk}},
            "ScanIndexForward": not newest_first,
            "ConsistentRead": not index,
        }
        if prefix:
            request["KeyConditionExpression"] += " AND begins_with(#sk, :prefix)"
            request["ExpressionAttributeNames"]["#sk"] = name_sk
            request["ExpressionAttributeValues"][":prefix"] = {"S": prefix}
        elif after is not None:
            request["KeyConditionExpression"] += " AND #sk > :after"
            request["ExpressionAttributeNames"]["#sk"] = name_sk
            request["ExpressionAttributeValues"][":after"] = {"S": after}
        if index:
            request["IndexName"] = "GSI1"
        if limit is not None:
            request["Limit"] = limit
        if token is not None:
            request["ExclusiveStartKey"] = _decode_token(token, pk, name_pk, prefix)
        answer = self._call("query", **request)
        page = Page(_unmarshal_item(item) for item in answer["Items"])
        if last := answer.get("LastEvaluatedKey"):
            page.next_token = _encode_token(last)
        return page

    def query_all(self, pk: str, *, prefix: str = "", index: bool = False) -> list[Item]:
        """Every item below one partition key, page after page."""
        items: list[Item] = []
        token: str | None = None
        while True:
            page = self.query(pk, prefix=prefix, index=index, token=token)
            items += page
            if (token := page.next_token) is None:
                return items

    def count(self, pk: str) -> int:
        """How many items are below one partition key, consistently read."""
        request: dict[str, Any] = {
            "Select": "COUNT",
            "KeyConditionExpression": "#pk = :pk",
            "ExpressionAttributeNames": {"#pk": "PK"},
            "ExpressionAttributeValues": {":pk": {"S": pk}},
            "ConsistentRead": True,
        }
        found = 0
        while True:
            answer = self._call("query", **request)
            found += int(answer["Count"])
            if (last := answer.get("LastEvaluatedKey")) is None:
                return found
            request["ExclusiveStartKey"] = last

    def scan_keys(self, prefix: str) -> Iterator[str]:
        """The partition key of every item whose partition key starts with ``prefix``, consistently read.
        The whole table is read for it.
        """
        request: dict[str, Any] = {
            "ProjectionExpression": "#pk",
            "FilterExpression": "begins_with(#pk, :prefix)",
            "ExpressionAttributeNames": {"#pk": "PK"},
            "ExpressionAttributeValues": {":prefix": {"S": prefix}},
            "ConsistentRead": True,
        }
        while True:
            answer = self._call("scan", **request)
            yield from (item["PK"]["S"] for item in answer["Items"])
            if (last := answer.get("LastEvaluatedKey")) is None:
                return
            request["ExclusiveStartKey"] = last

    def put(self, item: Item, **condition: Unpack[Condition]) -> None:
        """Write one whole item."""
        self._call("put_item", **self.put_action(item, **condition)["Put"])

    def update(self, pk: str, sk: str, expression: str, **condition: Unpack[Condition]) -> Item:
        """Update one item and return it as it is afterwards."""
        action = self.update_action(pk, sk, expression, **condition)["Update"]
        answer = self._call("update_item", **action, ReturnValues="ALL_NEW")
        return _unmarshal_item(answer["Attributes"])

    def delete(self, pk: str, sk: str, **condition: Unpack[Condition]) -> None:
        """Delete one item; deleting what is not there is fine unless ``condition`` says otherwise."""
        self._call("delete_item", Key=_key(pk, sk), **_conditional(condition))

    def transact(self, actions: Sequence[dict[str, Any]]) -> None:
        """All ``actions`` or none (at most 100), built by the ``*_action`` methods."""
        self._call("transact_write_items", table=False, TransactItems=list(actions))

    def put_action(self, item: Item, **condition: Unpack[Condition]) -> dict[str, Any]:
        """A transaction's ``Put``."""
        stored = {name: marshal(value) for name, value in item.items()}
        return {"Put": {"TableName": self.name, "Item": stored, **_conditional(condition)}}

    def update_action(
        self, pk: str, sk: str, expression: str, **condition: Unpack[Condition]
    ) -> dict[str, Any]:
        """A transaction's ``Update``."""
        update = {"Key": _key(pk, sk), "UpdateExpression": expression, **_conditional(condition)}
        return {"Update": {"TableName": self.name, **update}}

    def _call(self, operation: str, *, table: bool = True, **request: Any) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        if table:
            request["TableName"] = self.name
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**request)
        except ClientError as error:
            raise _translate(error.response, self._dependency) from error
        except BotoCoreError as error:
            raise Unavailable(
                f"the {self._dependency} table cannot be reached ({type(error).__name__})",
                dependency=self._dependency,
            ) from error
        return answer


def _conditional(given: Condition) -> dict[str, Any]:
    """The parts of a request that say on what a write depends."""
    request: dict[str, Any] = {}
    if condition := given.get("condition"):
        request["ConditionExpression"] = condition
    if values := given.get("values"):
        request["ExpressionAttributeValues"] = {k: marshal(v) for k, v in values.items()}
    if names := given.get("names"):
        request["ExpressionAttributeNames"] = names
    return request


def _translate(response: Mapping[str, Any], dependency: str) -> Exception:
    code = response.get("Error", {}).get("Code", "")
    if code == "ConditionalCheckFailedException":
        return ConditionFailed("the condition of a write did not hold")
    if code == "TransactionCanceledException":
        cancelled = response.get("CancellationReasons", [])
        reasons = [r.get("Code", "None") for r in cancelled]
        if any("Item size" in (r.get("Message") or "") for r in cancelled):
            return _too_large(dependency)
        if "ConditionalCheckFailed" in reasons:
            return ConditionFailed("a condition of a transaction did not hold")
        if _RETRYABLE_REASONS.intersection(reasons):
            return _busy(dependency)
    if code == "ValidationException":
        message = response.get("Error", {}).get("Message", "")
        if "Item size" in message:
            return _too_large(dependency)
        return ValueError(f"DynamoDB refused a request as malformed: {message}")
    return Unavailable(
        f"the {dependency} table answered {code or 'an error'}", dependency=dependency
    )


def _busy(dependency: str) -> Unavailable:
    return Unavailable(f"the {dependency} table is busy", dependency=dependency)


def _too_large(dependency: str) -> TooLarge:
    return TooLarge(
        f"the record would exceed the {dependency}'s 400 KB limit", code="record_too_large"
    )


def _key(pk: str, sk: str) -> dict[str, Any]:
    return {"PK": {"S": pk}, "SK": {"S": sk}}


def _unmarshal_item(item: Mapping[str, Any]) -> Item:
    return {name: unmarshal(value) for name, value in item.items()}


def _encode_token(key: Mapping[str, Any]) -> str:
    flat = {name: value["S"] for name, value in key.items()}
    return base64.urlsafe_b64encode(json.dumps(flat, separators=(",", ":")).encode()).decode()


def _decode_token(token: str, pk: str, name_pk: str, prefix: str) -> dict[str, Any]:
    try:
        flat = json.loads(base64.urlsafe_b64decode(token.encode()))
        name_sk = name_pk.replace("PK", "SK")
        if (
            not isinstance(flat, dict)
            or set(flat) != {"PK", "SK", name_pk, name_sk}
            or not all(isinstance(v, str) and v for v in flat.values())
            or flat[name_pk] != pk
            or not flat[name_sk].startswith(prefix)
        ):
            raise ValueError
    except (ValueError, RecursionError):  # not base64, not JSON, not ours
        raise Invalid.at(
            "next_token", "not a token of this listing", code="invalid_token"
        ) from None
    return {name: {"S": value} for name, value in flat.items()}
