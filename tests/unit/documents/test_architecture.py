"""docs/architecture.md shows the code as it is, and every decision has the same form."""

import ast
import re

import pytest

from tests.support.template import ROOT
from tests.unit.test_imports import _edges, _reached

PAGE = (ROOT / "docs/architecture.md").read_text()
CORE = ROOT / "neuralstream_core"
HOPS = re.findall(r"([\w/]+\.py): ([\w.]+)", PAGE)
FILES = re.findall(
    r"(?<![\w/])((?:functions|layers|neuralstream_\w+|tests|[a-z]+)/[\w/.-]+\.(?:py|json))", PAGE
)
DECISIONS = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
DRAWINGS = re.findall(r"^```text\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
LISTS = {"0003-settled-facts-of-aws.md"}
"""Tables of facts, which decide nothing."""


def source(name):
    """A file that the page names: from the root, from the core or from the functions' layer."""
    (found,) = [
        folder / name for folder in (ROOT, CORE, ROOT / "layers/core") if (folder / name).is_file()
    ]
    return found


def test_each_way_through_the_code_is_drawn():
    functions = {file.split("/")[1] for file, _ in HOPS if file.startswith("functions/")}
    assert functions == {
        "predict",
        "feature_write",
        "batch_predict",
        "dispatch",
        "history",
        "monitoring",
        "outcomes",
        "training",
    }


@pytest.mark.parametrize(("file", "name"), HOPS, ids=[f"{file}: {name}" for file, name in HOPS])
def test_a_function_that_is_named_is_defined_in_its_file(file, name):
    body = ast.parse(source(file).read_text()).body
    for part in name.split("."):
        (found,) = [
            node
            for node in body
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == part
        ]
        body = found.body


@pytest.mark.parametrize("drawing", DRAWINGS, ids=[drawing.split(" ")[0] for drawing in DRAWINGS])
def test_a_drawing_enters_no_file_twice(drawing):
    files = re.findall(r"^[│├└─ ]*([\w/]+\.py): ", drawing, re.MULTILINE)
    assert len(set(files)) == len(files) > 0


@pytest.mark.parametrize("drawing", DRAWINGS, ids=[drawing.split(" ")[0] for drawing in DRAWINGS])
def test_each_line_of_a_drawing_is_called_by_the_file_it_is_indented_under(drawing):
    above = {}
    for indent, file, name in re.findall(
        r"^([│├└─ ]*)([\w/]+\.py): ([\w.]+)", drawing, re.MULTILINE
    ):
        depth = len(indent) // 3
        above[depth] = file
        if depth:
            called = name.split(".")[-1]
            assert re.search(rf"\b{called}\b", source(above[depth - 1]).read_text()), name


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_named_exists(file):
    assert source(file)


def test_every_package_of_the_core_is_listed():
    listed = set(re.findall(r"^\| `neuralstream_core/(\w+)` \|", PAGE, re.MULTILINE))
    assert listed == {path.parent.name for path in CORE.glob("*/__init__.py")}


def test_the_drawn_arrows_reach_every_import_between_packages():
    packages = {path.parent.name for path in CORE.glob("*/__init__.py")}
    drawn = {}
    for importer, imported in re.findall(r"^  (\w+) --> (\w+)$", PAGE, re.MULTILINE):
        drawn.setdefault(importer, set()).add(imported)
    for importer, imported in _edges().items():
        if importer in packages:
            assert imported & packages <= _reached(drawn, importer), importer


def test_every_term_of_the_glossary_is_explained_once():
    terms = re.findall(r"^\| ([^|]+?) \|", PAGE.partition("## Glossary")[2], re.MULTILINE)[2:]
    assert len(set(terms)) == len(terms) > 30


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_says_what_it_was_chosen_from_and_what_would_change_it(path):
    text = path.read_text()
    number, title = re.match(r"# (\d+)\. (.+)\n", text).groups()
    assert path.name.startswith(f"{int(number):04}-")
    assert f"({path.name})" in (ROOT / "docs/decisions/README.md").read_text(), "not in the index"
    if path.name not in LISTS:
        headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
        for needed in ("Context", "Options", "Decision", "What would change it"):
            assert needed in headings, f"{title}: {needed}"
