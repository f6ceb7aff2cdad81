"""The Python of docs/sdk.md, run as written from top to bottom, prints what the page says."""

from __future__ import annotations

import re

from tests.support.template import ROOT

PAGE = (ROOT / "docs/sdk.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_the_page_runs_from_top_to_bottom_and_prints_what_it_says(stack, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    for block in BLOCKS:
        exec(block.replace("http://127.0.0.1:8000", stack.url), names)  # noqa: S102 - our own page
    said = re.findall(r"^ *print\(.*\) +# (.+)$", "\n".join(BLOCKS), re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == said
    assert len(said) == 7
    names["ns"].close()


def test_the_table_of_methods_is_the_client(ns):
    rows = re.findall(r"^\| `(ns[.\w]*)` \| (.+) \|$", PAGE, re.MULTILINE)
    assert len(rows) == 6
    for path, methods in rows:
        service = getattr(ns, path[3:]) if path != "ns" else ns
        public = {
            name
            for name in dir(service)
            if not name.startswith("_") and callable(getattr(service, name))
        }
        documented = set(re.findall(r"`(\w+)`", methods))
        assert documented <= public, path
        assert path == "ns" or documented == public, path
