"""The table of methods in docs/sdk.md is the client."""

from __future__ import annotations

import re

from tests.support.template import ROOT

PAGE = (ROOT / "docs/sdk.md").read_text()


def test_the_table_of_methods_is_the_client(ns):
    rows = re.findall(r"^\| `(ns[.\w]*)` \| (.+) \|$", PAGE, re.MULTILINE)
    services = {f"ns.{name}" for name in vars(ns) if not name.startswith("_")}
    assert len(rows) == len({path for path, _ in rows})
    assert {path for path, _ in rows} == {"ns", *services}
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
