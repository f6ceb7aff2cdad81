"""Measured numbers in README and pages: each is one of benchmarks/results, and none is written by hand."""

import re

import pytest

from benchmarks.render import MEASURED, PAGE, PROSE, measurement, pages, with_measurements
from tests.support.template import ROOT

CLAIM = re.compile(r"\bmeasured\b|\bbenchmarks?\b|rows/s|rows a second", re.IGNORECASE)
NUMBER = re.compile(r"\d[\d,.]* ?(µs|ms|s|seconds?|minutes?|MB|MiB|rows/s|rows a second|×|times)\b")
RESULTS = {
    "predict": {
        "groups": [
            {
                "title": "POST /predict, warm: 20 features",
                "rows": 20,
                "cases": {"the whole handler": {"median_us": 261.4, "ratio": 1.523}},
            }
        ]
    }
}
KEY = "predict :: POST /predict, warm :: the whole handler :: "


def name(path):
    return str(path.relative_to(ROOT))


def paragraphs(text):
    """Text without code, divided at empty lines and at the rows of tables."""
    return re.split(r"\n\s*\n|\n(?=\|)|\n(?=- )", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


@pytest.mark.parametrize("path", [p for p in PROSE if p != PAGE], ids=name)
def test_a_sentence_that_claims_a_measurement_has_its_number_from_a_result(path):
    for paragraph in paragraphs(path.read_text()):
        without = MEASURED.sub("", paragraph)
        if CLAIM.search(paragraph) and NUMBER.search(without):
            assert MEASURED.search(paragraph), paragraph


def test_every_number_between_comments_is_what_the_results_have():
    for path, text in pages().items():
        if path in PROSE:
            assert path.read_text() == text, f"run make page: {name(path)}"
    keys = [key for path in PROSE for key, _ in MEASURED.findall(path.read_text())]
    assert keys, "the pages name no measurement"


def test_no_comment_makes_its_line_another_kind_of_text():
    """At the start of a line it would make the whole line HTML, and a bar would divide a table's cell."""
    for path in PROSE:
        assert not re.search(r"^ *<!-- measured", path.read_text(), re.MULTILINE), name(path)
        for key, _ in MEASURED.findall(path.read_text()):
            assert "|" not in key, key


@pytest.mark.parametrize(
    ("form", "text"), [("time", "261 µs"), ("rate", "76,500"), ("ratio", "1.52")]
)
def test_a_new_result_changes_the_number_and_nothing_else(form, text):
    page = f"It takes <!-- measured {KEY}{form} -->1 s<!-- end --> here."
    assert with_measurements(page, RESULTS) == page.replace("1 s", text)
    assert with_measurements(page, {}) == page, "no result yet: the number stays"


@pytest.mark.parametrize(
    "key", ["predict :: POST /x :: a :: time", "unknown :: a :: b :: time", f"{KEY}size"]
)
def test_a_comment_that_names_no_result_is_an_error(key):
    with pytest.raises(LookupError, match=re.escape(key)):
        measurement(key, RESULTS)
