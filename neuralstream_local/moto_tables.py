"""Repairs of moto, without which the emulation grows slower and larger with every request.

- A transaction of moto's copies whole tables, with all records of their streams, to put the copies back if
  it is cancelled. Here it remembers the items that it names.
- A query of moto's sorts the whole table, whatever partition it asks for. Here it sees that partition; one of
  an index, which sorts what it finds anyway, sees all items as they come.
- moto keeps every object it ever made, for a page of its own that lists them. Here it does not.
- moto lists its folders and the methods of its classes for each request. Here it does once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, Final

import moto.backends
import moto.core.responses
from moto.core.common_models import BaseModel
from moto.core.utils import method_names_from_class
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table

__all__ = ["repair"]

_moto_transaction: Final = DynamoDBBackend.transact_write_items
_moto_query: Final = Table.query
_INDEX_NAME: Final = 6
"""Its place among what follows the key; the backend passes it so."""


def repair() -> None:
    """Apply them; DynamoDB calls must then be made one at a time."""
    DynamoDBBackend.transact_write_items = _transact_write_items  # type: ignore[assignment]
    Table.__deepcopy__ = _same  # type: ignore[attr-defined]
    Table.query = _query  # type: ignore[assignment]
    BaseModel.__new__ = _untracked  # type: ignore[method-assign]
    services = tuple(moto.backends.list_of_moto_modules())
    moto.backends.list_of_moto_modules = lambda: iter(services)
    moto.core.responses.method_names_from_class = cache(method_names_from_class)  # type: ignore[attr-defined]


def _transact_write_items(
    backend: DynamoDBBackend, transact_items: Sequence[Mapping[str, Any]]
) -> None:
    """All of ``transact_items`` or, when moto raises, none: neither in the tables nor in their streams."""
    undo = [_undo_of(backend, next(iter(item.values()))) for item in transact_items]
    try:
        _moto_transaction(backend, list(transact_items))  # type: ignore[arg-type]
    except BaseException:
        for step in reversed(undo):
            step()
        raise


def _undo_of(backend: DynamoDBBackend, operation: Mapping[str, Any]) -> Callable[[], None]:
    """Puts back what one operation may change. One that moto refuses for its form changes nothing."""
    table = backend.tables.get(operation.get("TableName", ""))
    named = operation.get("Item") or operation.get("Key") or {}
    if table is None or not {table.hash_key_attr, table.range_key_attr} <= set(named):
        return lambda: None
    partition = DynamoType(named[table.hash_key_attr])
    sort = DynamoType(named[table.range_key_attr])
    before = copy.deepcopy(table.get_item(partition, sort))
    shard = table.stream_shard
    length = 0 if shard is None else len(shard.items)

    def undo() -> None:
        if before is None:
            table.items[partition].pop(sort, None)
        else:
            table.items[partition][sort] = before
        if shard is not None:
            del shard.items[length:]

    return undo


def _query(table: Table, hash_key: DynamoType | None, *given: Any, **more: Any) -> Any:
    """What moto answers, from the items that may be in it."""
    if len(given) > _INDEX_NAME and given[_INDEX_NAME] is not None:
        table.all_items = partial(_items_of, table)  # type: ignore[method-assign]
        try:
            return _moto_query(table, hash_key, *given, **more)
        finally:
            del table.all_items
    whole = table.items
    found = None if hash_key is None else whole.get(hash_key)
    table.items = {} if found is None else {hash_key: found}  # type: ignore[assignment]
    try:
        return _moto_query(table, hash_key, *given, **more)
    finally:
        table.items = whole


def _items_of(table: Table) -> list[Item]:
    return [item for partition in table.items.values() for item in partition.values()]


def _same(table: Table, _: object) -> Table:
    """In place of a copy: `_transact_write_items` undoes what has to be undone."""
    return table


def _untracked(cls: type[BaseModel], *_: Any, **__: Any) -> BaseModel:
    return object.__new__(cls)
