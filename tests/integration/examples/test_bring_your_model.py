"""The example of ``docs/bring-your-model.md``, and its table of families."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from examples.bring_your_model.ten_lines import customers, main
from neuralstream_client import NeuralStream
from tests.support.logged_models import FAMILIES
from tests.support.stack import RunningStack

PAGE = Path(__file__).parents[3] / "docs" / "bring-your-model.md"


def test_ten_lines_lead_from_a_pipeline_with_text_and_nulls_to_a_prediction(
    stack: RunningStack, capsys: pytest.CaptureFixture[str]
) -> None:
    probability = main(stack.url, "ten_lines")
    assert "equal on" in capsys.readouterr().out
    data, left = customers()
    with NeuralStream(stack.url) as ns:
        version = ns.models.version("ten_lines", "v1")
        assert version.stage == "production"
        assert version.missing == "null"
        unlike = ns.predict(
            "ten_lines", features={"tenure": None, "charges": 20.0, "country": "de"}
        )
    assert probability is not None
    assert unlike.probability is not None
    assert unlike.probability < probability
    assert left.mean() == pytest.approx(0.5, abs=0.3)
    assert pd.isna(data["country"]).any()


def test_the_page_has_a_line_for_each_family_that_is_tested() -> None:
    lines = re.findall(r"^\| ([^|]+) \| (yes|no) \|", PAGE.read_text(), re.MULTILINE)
    tested = [(name, "no" if one.refused else "yes") for name, one in FAMILIES.items()]
    assert lines == tested
