"""The table's surface on an emulated DynamoDB."""

from __future__ import annotations

import pytest

from neuralstream_core.errors import ConditionFailed, TooLarge
from neuralstream_core.table import Table


def rows(table: Table, count: int) -> list[str]:
    keys = [f"A#{n:03d}" for n in range(count)]
    for n, key in enumerate(keys):
        table.put({"PK": "p", "SK": key, "GSI1PK": "all", "GSI1SK": f"{count - n:03d}", "n": n})
    table.put({"PK": "p", "SK": "B#000"})
    return keys


def test_pages_follow_one_another_without_gap_or_twin_in_both_orders(table: Table) -> None:
    keys = rows(table, 7)
    for newest_first in (False, True):
        found, token, pages = [], None, 0
        while pages == 0 or token is not None:
            page = table.query("p", prefix="A#", limit=3, token=token, newest_first=newest_first)
            found += [item["SK"] for item in page]
            token, pages = page.next_token, pages + 1
        assert found == (keys[::-1] if newest_first else keys)
    assert [item["SK"] for item in table.query_all("p", prefix="A#")] == keys
    assert [item["SK"] for item in table.query_all("all", index=True)] == keys[::-1]


def test_the_index_is_paged_too(table: Table) -> None:
    keys = rows(table, 5)
    first = table.query("all", index=True, limit=2)
    rest = table.query("all", index=True, token=first.next_token)
    assert [item["SK"] for item in [*first, *rest]] == keys[::-1]


def test_many_items_are_read_at_once_and_missing_ones_left_out(table: Table) -> None:
    keys = rows(table, 3)
    found = table.get_many([("p", key) for key in [*keys, "A#999"]])
    assert sorted(item["SK"] for item in found) == keys
    assert table.get_many([]) == []


def test_a_transaction_is_all_or_nothing(table: Table) -> None:
    rows(table, 1)
    actions = [
        table.put_action({"PK": "p", "SK": "new"}, condition="attribute_not_exists(PK)"),
        table.update_action(
            "p", "A#000", "SET n = :one", values={":one": 1, ":two": 2}, condition="n = :two"
        ),
    ]
    with pytest.raises(ConditionFailed):
        table.transact(actions)
    assert table.get("p", "new") is None

    table.put({"PK": "p", "SK": "A#000", "n": 2})
    table.transact(actions)
    assert table.get("p", "A#000") == {"PK": "p", "SK": "A#000", "n": 1}
    assert table.get("p", "new") is not None


def test_an_item_beyond_400_kb_is_too_large(table: Table) -> None:
    item = {"PK": "p", "SK": "s", "text": "x" * 450_000}
    with pytest.raises(TooLarge) as caught:
        table.put(item)
    assert caught.value.code == "record_too_large"
    with pytest.raises(TooLarge):
        table.transact([table.put_action(item)])
    assert table.get("p", "s") is None


def test_a_conditional_update_and_delete_leave_things_alone_when_the_condition_fails(
    table: Table,
) -> None:
    rows(table, 1)
    with pytest.raises(ConditionFailed):
        table.update("p", "A#000", "SET n = :n", values={":n": 9}, condition="attribute_exists(x)")
    with pytest.raises(ConditionFailed):
        table.delete("p", "A#000", condition="attribute_exists(x)")
    assert table.update("p", "A#000", "SET n = n + :n", values={":n": 5})["n"] == 5
    table.delete("p", "A#000")
    assert table.get("p", "A#000") is None
