"""How pages written for the repository become pages of the site (hooks of mkdocs)."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

_LINK = re.compile(r"\[([^\]]*)\]\((\.\./[^)\s]*)\)")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """A link to a file outside of ``docs`` becomes its text: the file is not part of the site."""
    depth = len(PurePosixPath(page.file.src_uri).parent.parts)

    def unlinked(link: re.Match[str]) -> str:
        outside = link[2].startswith("../" * (depth + 1))
        return link[1] if outside else link[0]

    return _LINK.sub(unlinked, markdown)
