"""The views of predictions and outcomes: kept as any other view's rows are, and in no list."""

from __future__ import annotations

from neuralstream_core.history.compaction import GRACE
from neuralstream_core.outcomes.views import OUTCOMES, PREDICTIONS, internal_views
from tests.support.history import HistoryHouse


def test_rows_of_internal_views_become_files_and_stay(house: HistoryHouse) -> None:
    views = internal_views("test")
    features = {"model": "churn", "version": "v1", "label": "yes", "weight": 2.0, "shadow": False}
    expected = house.write(
        views[PREDICTIONS], "r1", [{"entity_id": "churn:v1:X", "features": features}]
    )
    label = {"model": "churn", "value": 1.0}
    house.write(views[OUTCOMES], "r2", [{"entity_id": "churn:v1:X", "features": label}])
    assert house.compact().dropped == 0
    house.clock.now += 2 * GRACE
    assert house.janitor().run().generations == 0
    assert house.records(views[PREDICTIONS]) == expected
    assert [row["_entity"] for row in house.table(views[OUTCOMES])] == ["churn:v1:X"]
    assert list(house.catalog.list().views) == []
