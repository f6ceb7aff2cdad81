"""The example in docs/monitoring.md is a report, whole, and its fields are explained."""

from __future__ import annotations

import json
import re
from pathlib import Path

from neuralstream_core.monitoring.drift import DriftReport, SeriesReport

TEXT = (Path(__file__).parents[3] / "docs" / "monitoring.md").read_text()


def example() -> str:
    _, block, _ = TEXT.split("<!-- example report -->")
    return block.strip().removeprefix("```json").removesuffix("```")


def test_the_example_is_a_report_with_every_field() -> None:
    body = json.loads(example())
    report = DriftReport.model_validate_json(example())
    assert set(body) == set(DriftReport.model_fields)
    for series in body["series"]:
        assert set(series) == set(SeriesReport.model_fields)
    assert report.failed + report.rows == report.series[0].n_current
    told = [series.sentence for series in report.series if series.status.alarming]
    assert all(sentence in report.summary for sentence in told)


def test_every_field_of_a_report_is_in_the_table() -> None:
    rows = re.findall(r"^\| (`.+?) \|", TEXT, flags=re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(?:series\[\]\.)?(\w+)`", row)}
    assert set(DriftReport.model_fields) - {"series"} <= named
    assert set(SeriesReport.model_fields) <= named
