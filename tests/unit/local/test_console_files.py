"""The console's modules: a browser learns of all that a page needs from the first files it gets."""

from __future__ import annotations

import re
from pathlib import Path

CONSOLE = Path(__file__).parents[3] / "console"
PAGES = dict(
    re.findall(
        r'name: "(\w*)", .*import\("\./(pages/\w+\.js)"\)', (CONSOLE / "pages.js").read_text()
    )
)


def needed(module: str) -> set[str]:
    """The module and all that it imports, by their names below the folder."""
    found, left = set(), [module]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            folder = (CONSOLE / name).parent
            imported = re.findall(
                r'^import [^"]*"(\.[^"]+)"', (CONSOLE / name).read_text(), re.MULTILINE
            )
            left += [
                (folder / each).resolve().relative_to(CONSOLE.resolve()).as_posix()
                for each in imported
            ]
    return found


def test_every_module_of_a_page_is_named_by_the_first_files():
    html = (CONSOLE / "index.html").read_text()
    first = set(re.findall(r'(?:src|href)="console/\{digest\}/([^"]+\.js)"', html))
    uses = re.findall(r"^  (\w+): \[(.*)\],$", (CONSOLE / "start.js").read_text(), re.MULTILINE)
    named = {page: set(re.findall(r'"([^"]+)"', files)) for page, files in uses}
    assert needed("app.js") <= first
    assert sorted(named) == sorted(set(PAGES) - {""})
    for page, module in PAGES.items():
        more = needed(module) - first
        assert named.get(page, set()) | ({module} if page else set()) == more, page
