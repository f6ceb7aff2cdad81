"""The client's blocking classes, made from the asynchronous ones by replacing words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

__all__ = ["render_sync"]

_WORDS: Final = (
    (r"\basync def\b", "def"),
    (r"\basync with\b", "with"),
    (r"\basync for\b", "for"),
    (r"\bawait ", ""),
    (r"\b__aenter__\b", "__enter__"),
    (r"\b__aexit__\b", "__exit__"),
    (r"\b__aiter__\b", "__iter__"),
    (r"\baclose\b", "close"),
    (r"\banyio\b", "time"),
    (r"\b_async\b", "_sync"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\bAsynchronous\b", "Blocking"),
    (r"\basynchronous\b", "blocking"),
)


def render_sync(source: Path) -> str:
    """The blocking form of one module of ``neuralstream_client/_async``, not yet formatted."""
    text = source.read_text()
    for pattern, replacement in _WORDS:
        text = re.sub(pattern, replacement, text)
    return text
