"""A table is restored to a point in time and its items copied back."""

import uuid
from datetime import UTC, datetime

import pytest

from neuralstream_core.table import Table
from neuralstream_local.copy_table import copy


@pytest.fixture
def restored_name(aws):
    name = f"test-{uuid.uuid4().hex}"
    yield name
    aws.client("dynamodb").delete_table(TableName=name)


def test_what_was_lost_comes_back_and_no_outbox_entry_with_it(aws, table_name, restored_name):
    client = aws.client("dynamodb")
    live = Table(client, table_name)
    for n in range(60):
        live.put({"PK": "p", "SK": f"{n:03d}", "n": n, "outbox": {"kind": "start_job"}})
    client.update_continuous_backups(
        TableName=table_name,
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
    )
    client.restore_table_to_point_in_time(
        SourceTableName=table_name,
        TargetTableName=restored_name,
        RestoreDateTime=datetime.now(UTC),
    )
    for n in range(30):
        live.delete("p", f"{n:03d}")
    live.put({"PK": "p", "SK": "new", "n": -1})
    assert copy(client, restored_name, table_name) == 60
    found = live.query_all("p")
    assert [item["n"] for item in found] == [*range(60), -1]
    assert not any("outbox" in item for item in found)
