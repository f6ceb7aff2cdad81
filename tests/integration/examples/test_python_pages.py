"""The Python of the documentation and of the notebook, run as written, prints what the page says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.support.documents import PYTHON_PAGES, blocks
from tests.support.stack import RunningStack
from tests.support.template import ROOT

NOTEBOOK = "examples/bring_your_model/quickstart.ipynb"


def cells(kind: str) -> Iterator[str]:
    """The sources of the notebook's cells of a kind."""
    for cell in json.loads((ROOT / NOTEBOOK).read_text())["cells"]:
        if cell["cell_type"] == kind:
            yield "".join(cell["source"]) + "\n"


def sources(page: str) -> list[str]:
    """The Python of a page in order."""
    return list(cells("code")) if page == NOTEBOOK else blocks(page, "python")


def shell(page: str) -> list[str]:
    """The shell commands of a page."""
    return [] if page == NOTEBOOK else blocks(page)


@pytest.mark.parametrize("page", [*PYTHON_PAGES, NOTEBOOK])
def test_the_python_of_a_page_runs_from_top_to_bottom_and_prints_what_the_page_says(
    page: str,
    stack: RunningStack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("NEURALSTREAM_URL", raising=False)
    if re.search(r"^export NEURALSTREAM_URL=", "".join(shell(page)), re.MULTILINE):
        monkeypatch.setenv("NEURALSTREAM_URL", stack.url)
    names: dict[str, object] = {}
    try:
        for number, block in enumerate(sources(page), 1):
            code = compile(
                block.replace("http://127.0.0.1:8000", stack.url), f"{page}, {number}", "exec"
            )
            exec(code, names)  # noqa: S102 - our own pages
    finally:
        if "ns" in names:
            names["ns"].close()  # type: ignore[attr-defined]
    said = re.findall(r"^ *print\(.*\)  # (.+)$", "\n".join(sources(page)), re.MULTILINE)
    printed = iter(capsys.readouterr().out.splitlines())
    # a print without a comment may print anything in between
    missing = [line for line in said if line not in printed]
    assert missing == []


def test_the_notebook_holds_no_outputs() -> None:
    for cell in json.loads((ROOT / NOTEBOOK).read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


def test_the_notebook_is_the_quickstart_under_names_of_its_own() -> None:
    page = "".join(blocks("docs/quickstart.md", "python"))
    own = page.replace('"leaving"', '"nb_leaving"').replace('"customers', '"nb_customers')
    assert "".join(cells("code")).replace("\n", "") == own.replace("\n", "")
