"""Messages of ONNX Runtime as one line, without the file, line and function of its sources that they name."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["reason"]

_MAX: Final = 300
_READ: Final = 4000
"""Characters looked at, which bounds what the expressions below can take."""
_SUFFIX: Final = r"\.(?:h|hh|hpp|inl|c|cc|cpp|cxx|cu|cuh|py|so|pyd|dll)\b"
_START: Final = re.compile(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ")
_ASSERTION: Final = re.compile(rf"\S*{_SUFFIX}:\d+ \S*[^'\"]*? was false\. ?")
"""``…/reshape_helper.h:91 onnxruntime::ReshapeHelper::ReshapeHelper(…) a == b was false.``"""
_FUNCTION: Final = re.compile(
    rf"\S*{_SUFFIX}:\d+ (?:[\w:*&<>, ]*?onnxruntime::[^()]*\([^()]*\)(?: const)?(?: \[with [^\]]*\])? )?"
)
"""``…/bfc_arena.cc:360 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool)``"""
_PATH: Final = re.compile(rf"(?:[A-Za-z]:)?[\w.+~-]*[\\/][^\s'\":]*{_SUFFIX}(?::\d+)?")


def reason(error: Exception) -> str:
    """The message of a runtime's exception, at most 300 characters; its class where it has none."""
    text = " ".join(str(error)[:_READ].split())
    for pattern in (_START, _ASSERTION, _FUNCTION, _PATH):
        text = pattern.sub("", text)
    return " ".join(text.split())[:_MAX] or type(error).__name__
