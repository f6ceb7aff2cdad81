"""The threat model of SECURITY.md: each row names who, what stops them, and tests that exist."""

from __future__ import annotations

import re

import pytest

from tests.support.template import ROOT

SECTION = (ROOT / "SECURITY.md").read_text().partition("## Who could do what")[2]
LINES = [line for line in SECTION.partition("\n## ")[0].splitlines() if line.startswith("|")]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES[2:]]


def defined():
    """The names of all tests."""
    return {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }


def test_the_table_is_whole():
    assert LINES[0].count("|") == 6
    assert len(ROWS) > 10
    assert all(len(row) == 5 and all(row) for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_stops_somebody_is_tested_by_tests_that_exist(row):
    named = re.findall(r"`(test_\w+)`", row[4])
    assert named or "not tested" in row[4]
    assert set(named) <= defined()
