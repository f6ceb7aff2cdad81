"""How large an answer is once the Lambda runtime has encoded it, and how to keep it within Lambda's limit.

A handler's return value crosses as one JSON text, in which the body is a JSON string: a quote, a backslash
and a line break take two bytes there, other control characters six, everything else its UTF-8 bytes. What
counts against the limit is that text, not the body.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from neuralstream_core.errors import TooLarge

__all__ = ["MAX_PAYLOAD", "bounded", "payload_size", "surely_fits"]

MAX_PAYLOAD: Final = 6 * 1024 * 1024
"""Bytes of JSON that Lambda takes as an event or as an answer of a synchronous call."""

_GROWTH: Final = 6
"""Bytes that one character may take at most: a control character becomes ``\\u00XX``."""
_AROUND: Final = 64 * 1024
"""Bytes kept for what surrounds a body; API Gateway allows 10 KB of headers, which an event repeats."""


def surely_fits(size: int) -> bool:
    """Whether a body of ``size`` characters or bytes fits whatever it is made of."""
    return size * _GROWTH + _AROUND <= MAX_PAYLOAD


def payload_size(message: Mapping[str, Any]) -> int:
    """Bytes of ``message`` in the JSON that the Lambda runtime for Python 3.12 and later writes."""
    return len(json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def bounded(answer: dict[str, Any], hint: str) -> dict[str, Any]:
    """``answer`` in a form that fits Lambda's limit: as it is, or with its body as base64.

    Base64 takes 4/3 of the body whatever it is made of, which is less than escaping once a third of the
    characters are quotes; API Gateway decodes it for the caller.

    Args:
        answer: payload 2.0; may be changed.
        hint: what the caller can do to get a smaller answer.

    Raises:
        TooLarge: neither form fits.
    """
    body = answer.get("body") or ""
    if surely_fits(len(body)):
        return answer
    size = payload_size(answer)
    if size <= MAX_PAYLOAD:
        return answer
    if not answer.get("isBase64Encoded"):
        answer["body"] = base64.b64encode(body.encode()).decode()
        answer["isBase64Encoded"] = True
        size = min(size, packed := payload_size(answer))
        if packed <= MAX_PAYLOAD:
            return answer
    raise TooLarge(
        f"the answer would take {size} bytes of the {MAX_PAYLOAD} that Lambda allows; {hint}",
        code="answer_too_large",
    )
