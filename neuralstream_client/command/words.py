"""``NAME=VALUE`` words and files of rows as a person gives them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from neuralstream_client.errors import DataError

__all__ = ["named", "numbers", "rows_of", "texts", "value_of"]


def value_of(text: str) -> Any:
    """A JSON value, else the text itself."""
    try:
        return from_json(text)
    except ValueError:
        return text


def texts(words: Sequence[str] | None) -> dict[str, str]:
    """``NAME=TEXT`` words as a dict.

    Raises:
        DataError: a word has no ``=``.
    """
    found = {}
    for word in words or ():
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise DataError(f"{word!r} is not of the form NAME=VALUE")
        found[name] = text
    return found


def named(words: Sequence[str] | None) -> dict[str, Any]:
    """``NAME=VALUE`` words as a dict of JSON values, else texts.

    Raises:
        DataError: a word has no ``=``.
    """
    return {name: value_of(text) for name, text in texts(words).items()}


def numbers(words: Sequence[str] | None) -> dict[str, float]:
    """``NAME=NUMBER`` words as a dict.

    Raises:
        DataError: a word has no ``=``, or no number.
    """
    try:
        return {name: float(text) for name, text in texts(words).items()}
    except ValueError as error:
        raise DataError(f"{error}; NAME=NUMBER is needed") from error


def rows_of(path: Path) -> Any:
    """Rows of a CSV file with a header, or the content of a JSON file.

    An empty cell of a CSV file is null, the others are JSON values or texts.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".json":
            return from_json(text)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return [
        {name: value_of(cell) if cell else None for name, cell in row.items()}
        for row in csv.DictReader(text.splitlines())
    ]
