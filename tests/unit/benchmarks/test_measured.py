"""A release has no number that was measured on other code."""

from __future__ import annotations

import json
import re

from benchmarks.measured import code, others


def test_a_result_of_other_code_is_named(tmp_path):
    for name, measured in (
        ("now", "0123456789ab"),
        ("changed", "0123456789ab+"),
        ("old", "f" * 12),
    ):
        result = {"name": name, "machine": {"code": measured}}
        (tmp_path / f"{name}.json").write_text(json.dumps(result))
    (tmp_path / "older.json").write_text(json.dumps({"machine": {}}))
    assert others(tmp_path, "0123456789ab") == [
        "changed was measured on 0123456789ab+, not on 0123456789ab",
        "old was measured on ffffffffffff, not on 0123456789ab",
        "older was measured on none, not on 0123456789ab",
    ]


def test_the_code_of_this_checkout_has_a_name():
    assert re.fullmatch(r"([0-9a-f]{12}\+?)?", code())
