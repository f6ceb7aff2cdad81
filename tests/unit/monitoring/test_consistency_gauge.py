"""The comparison of feature views with their history, as Prometheus gets it."""

from __future__ import annotations

from datetime import UTC, datetime

from neuralstream_core.history.consistency import CellCounts, ViewConsistency
from neuralstream_core.monitoring.prometheus import exposition


def test_cells_are_a_gauge_by_view_feature_and_result() -> None:
    report = ViewConsistency(
        feature_view="user",
        checked_at=datetime(2026, 2, 21, tzinfo=UTC),
        entities=9,
        share=0.5,
        features={"age": CellCounts(match=7, missing=2)},
    )
    lines = exposition([], {}, [], [report]).splitlines()
    gauge = 'neuralstream_consistency_cells{feature="age",feature_view="user",result="%s"} %s'
    found = [line for line in lines if line.startswith("neuralstream_consistency_cells{")]
    assert sorted(found) == sorted(
        gauge % each
        for each in (
            ("match", "7.0"),
            ("missing", "2.0"),
            ("mismatch", "0.0"),
            ("extra", "0.0"),
            ("unadopted", "0.0"),
        )
    )
