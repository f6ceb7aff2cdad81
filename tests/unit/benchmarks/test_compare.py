"""Two checkouts compared: which runs are paired, and that nothing of them is changed."""

import json
import re
import subprocess
import sys

import pytest

from benchmarks.compare import ROWS
from tests.support.template import ROOT

BENCHMARK = """
import json, sys
from pathlib import Path
with open("../order", "a") as order:
    order.write(Path.cwd().name + "\\n")
cases = {{
    "the limit": {{"median_us": 100.0, "ratio": 1.0}},
    "{case}": {{"median_us": {us}, "ratio": {us} / 100}},
}}
group = {{"title": "{title}", "rows": {rows}, "cases": cases}}
Path("benchmarks/results/{name}.json").write_text(json.dumps({{"groups": [group]}}))
Path("benchmarks/results/{name}.md").write_text("new")
raise SystemExit(1)  # a budget that does not hold
"""


@pytest.fixture
def checkout(tmp_path):
    """Makes a checkout whose one benchmark takes a given time."""

    def make(folder, us, name="predict"):
        root = tmp_path / folder
        (root / "benchmarks/results").mkdir(parents=True)
        (root / ".venv/bin").mkdir(parents=True)
        (root / ".venv/bin/python").symlink_to(sys.executable)
        titles = {"title": "POST /predict, warm", "case": "the whole handler"}
        source = BENCHMARK.format(us=us, name=name, rows=1, **titles)
        (root / f"benchmarks/{name}.py").write_text(source)
        (root / f"benchmarks/results/{name}.md").write_text("committed")
        return root

    return make


def compare(before, after, *options):
    return subprocess.run(
        [sys.executable, ROOT / "benchmarks/compare.py", before, after, *options],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_row_names_both_times_and_their_ratio_and_the_results_stay_as_they_were(
    checkout, tmp_path
):
    before, after = checkout("before", 300.0), checkout("after", 450.0)
    done = compare(before, after, "--only", "predict", "--rounds", "2")
    assert done.returncode == 0, done.stderr
    row = "| POST /predict, warm handler | 300 µs | 3.00 | 450 µs | 4.50 | 1.50 |"
    assert row in done.stdout.splitlines()
    assert (tmp_path / "order").read_text().split() == ["before", "after", "after", "before"]
    for root in (before, after):
        assert [path.name for path in (root / "benchmarks/results").iterdir()] == ["predict.md"]
        assert (root / "benchmarks/results/predict.md").read_text() == "committed"


def test_a_benchmark_that_saves_nothing_ends_the_comparison_with_what_it_said(checkout):
    before, after = checkout("before", 300.0), checkout("after", 450.0)
    (after / "benchmarks/predict.py").write_text("raise SystemExit('no Redis')")
    done = compare(before, after, "--only", "predict", "--rounds", "1")
    assert done.returncode == 1
    assert "predict saved nothing" in done.stderr
    assert "no Redis" in done.stderr


def test_every_row_finds_its_case_in_the_committed_results():
    for row in ROWS:
        result = json.loads((ROOT / f"benchmarks/results/{row.benchmark}.json").read_text())
        groups = [g for g in result["groups"] if g["title"].startswith(row.group)]
        assert any(re.match(row.case, case) for case in groups[0]["cases"]), row.title
