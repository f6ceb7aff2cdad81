"""Ids of predictions: they say model, version and time, so nothing must be looked up to route an outcome.

``{model}:{version}:{ulid}``, and ``{model}:{version}:{ulid}:{row}`` for a row of a batch or a job. The ULID
(https://github.com/ulid/spec) is 48 bits of milliseconds since the epoch and 80 random bits in Crockford's
base 32, so the ids of a version sort by time.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import Final, NamedTuple, Self

from neuralstream_core.time import Micros
from neuralstream_core.types import MAX_NAME

__all__ = [
    "MAX_PREDICTION_ID",
    "STAMP",
    "PredictionId",
    "deterministic_ulid",
    "random_ulid",
    "stamp_of",
    "stamp_time",
]

MAX_PREDICTION_ID: Final = MAX_NAME + 1 + 10 + 1 + 26 + 1 + 10
"""Characters of the longest id."""
STAMP: Final = 10
"""Characters of a ULID that are its time."""
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_DIGITS: Final = {digit: value for value, digit in enumerate(_ALPHABET)}
_OF_BYTE: Final = (_ALPHABET * 8).encode()
"""From a byte to the digit of its last five bits."""
_RANDOM: Final = 16
"""Characters of a ULID that are not its time."""
_FORM: Final = re.compile(
    rf"([A-Za-z0-9][A-Za-z0-9_.-]{{0,{MAX_NAME - 1}}}):(v[1-9][0-9]{{0,8}})"
    rf":([0-7][{_ALPHABET}]{{25}})(?::(0|[1-9][0-9]{{0,9}}))?"
)


class PredictionId(NamedTuple):
    """One prediction's id; its text is ``str()`` of it.

    Attributes:
        model, version: what predicted.
        unique: the ULID: of the request, or of the job.
        row: position in the request, or number of the line in the job's input, from 0; ``None`` for a
            prediction of its own.
    """

    model: str
    version: str
    unique: str
    row: int | None = None

    @property
    def at(self) -> Micros:
        """When it was predicted, microseconds since the epoch, of which an id keeps whole milliseconds."""
        return stamp_time(self.unique)

    @property
    def request(self) -> str:
        """The id without its row: what all rows of one request share."""
        return f"{self.model}:{self.version}:{self.unique}"

    def __str__(self) -> str:
        return self.request if self.row is None else f"{self.request}:{self.row}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The id that a text is.

        Raises:
            ValueError: it is none.
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError("is not a prediction id, as an answer names it")
        model, version, unique, row = found.groups()
        return cls(model, version, unique, None if row is None else int(row))


def stamp_of(at: Micros) -> str:
    """The first `STAMP` characters of the ULIDs of a moment; they sort by time."""
    return _digits(at // 1000, STAMP)


def stamp_time(stamp: str) -> Micros:
    """The moment of a ULID, or of its first `STAMP` characters: whole milliseconds in microseconds."""
    milliseconds = 0
    for digit in stamp[:STAMP]:
        milliseconds = milliseconds << 5 | _DIGITS[digit]
    return milliseconds * 1000


def random_ulid(now: Micros) -> str:
    """A new ULID of this moment; microseconds below the millisecond are cut off."""
    return stamp_of(now) + os.urandom(_RANDOM).translate(_OF_BYTE).decode()


def deterministic_ulid(now: Micros, seed: str) -> str:
    """The ULID of ``seed``, such as a job's id, and its time: the same every time it is asked for."""
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:10], "big")
    return stamp_of(now) + _digits(number, _RANDOM)


def _digits(number: int, count: int) -> str:
    """The last ``count`` digits of a number."""
    return "".join([_ALPHABET[number >> shift & 31] for shift in range(5 * count - 5, -1, -5)])
