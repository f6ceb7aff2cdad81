"""How many values one answer may hold, known before its text is made."""

from __future__ import annotations

from typing import Final

from neuralstream_core.errors import TooLarge

__all__ = ["MAX_VALUES", "check_values"]

MAX_VALUES: Final = 2_000_000
"""Values beyond which no JSON text fits Lambda's 6 MB: each takes a digit and ``, ``."""


def check_values(count: int) -> None:
    """Refuse to write an answer that could not be sent: its text would take many times the memory.

    Args:
        count: numbers or labels that the answer would hold.

    Raises:
        TooLarge: they are more than `MAX_VALUES`.
    """
    if count > MAX_VALUES:
        raise TooLarge(
            f"the answer would hold {count} values, at most {MAX_VALUES} can be sent; ask for fewer rows "
            "in one request, or write the answers to files: POST /predict/{model}/batch",
            code="answer_too_large",
        )
