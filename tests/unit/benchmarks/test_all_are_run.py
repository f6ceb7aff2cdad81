"""No benchmark is forgotten: each is run by make, has its place on the page, and its line in the README."""

import re
import subprocess

from benchmarks.render import ORDER
from tests.support.template import ROOT

FOLDER = ROOT / "benchmarks"
REPORT = re.compile(r'Report\(\s*"(\w+)"')


def reports(folder):
    """Name of each report, and the file that makes it."""
    return {
        name: path
        for path in folder.glob("*.py")
        for name in REPORT.findall(path.read_text())
        if path.name != "_harness.py"
    }


def commands(*targets, **variables):
    words = ["make", "--no-print-directory", "-n", "-C", FOLDER, *targets]
    words += [f"{name}={value}" for name, value in variables.items()]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def test_the_page_has_a_place_for_every_report_and_for_nothing_else():
    assert sorted(ORDER) == sorted({**reports(FOLDER), **reports(FOLDER / "peers")})


def test_make_runs_every_benchmark():
    # where nothing is built and no browser is installed, make leaves two out
    run = commands("all", "peers", built="cold_start", seen="console")
    for path in reports(FOLDER).values():
        assert re.search(rf"benchmarks[./]{path.stem}\b", run), path.name
    assert "benchmarks/peers/run.py" in run


def test_every_workload_beside_peers_is_run_and_named_by_its_report():
    listed = (FOLDER / "peers" / "workloads.py").read_text().partition("ALL:")[2]
    names = re.findall(r'"(\w+)": \w', listed)
    assert sorted(f"peers_{name}" for name in names) == sorted(reports(FOLDER / "peers"))


def test_the_readme_has_a_line_for_every_file_that_measures():
    said = (FOLDER / "README.md").read_text()
    for path in reports(FOLDER).values():
        assert f"| `{path.name}` |" in said, path.name
