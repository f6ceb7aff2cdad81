"""Column names as names of features.

A feature name has letters, digits, ``_``, ``.`` and ``-``, begins with a letter or digit and has at most
128 characters. A column's name becomes one in this way: accents are taken off letters (``é`` → ``e``),
each run of other characters becomes one ``_``, and leading and trailing ``_``, ``.`` and ``-`` go.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from neuralstream_client.log_model.errors import LogModelError

__all__ = ["MAX_NAME", "called", "feature_name", "feature_names", "input_name"]

MAX_NAME: Final = 128
_LEGAL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_OTHER: Final = re.compile(r"[^A-Za-z0-9_.-]+")


def input_name(label: str) -> str:
    """What the input of a graph for one feature is called, with its view: ``view__feature`` or
    ``view__role__feature``."""
    return label.replace("@", "__", 1).replace(":", "__", 1)


def called(label: str) -> tuple[str, str, str]:
    """What a column or an input for one feature may be called: by its name, its label or its input."""
    return label.partition(":")[2], label, input_name(label)


def feature_name(column: str) -> str:
    """A column's name as a feature name; a legal one is kept as it is.

    Raises:
        LogModelError: no letter or digit is left.
    """
    if len(column) <= MAX_NAME and _LEGAL.fullmatch(column):
        return column
    plain = unicodedata.normalize("NFKD", column)
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    name = _OTHER.sub("_", plain).strip("_.-")[:MAX_NAME].rstrip("_.-")
    if not name:
        raise LogModelError(f"the column {column!r} has no letter or digit in its name: rename it")
    return name


def feature_names(columns: Sequence[str]) -> list[str]:
    """The feature names of all columns, in order.

    Raises:
        LogModelError: two columns would have the same name, or one has none.
    """
    taken: dict[str, str] = {}
    for column in columns:
        name = feature_name(column)
        if name in taken:
            raise LogModelError(
                f"the columns {taken[name]!r} and {column!r} are both named {name!r} as features: "
                "rename one of them before training, or map both with features={column: 'view:feature'}"
            )
        taken[name] = column
    return list(taken)
