"""Where job files are: ``s3://`` URIs, parsed once and checked against the buckets a job may touch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from neuralstream_core.errors import Invalid

__all__ = [
    "FORMATS",
    "JOBS",
    "WORK",
    "Buckets",
    "InputFormat",
    "Location",
    "OutputFormat",
    "input_format",
]

InputFormat: TypeAlias = Literal["csv", "jsonl", "parquet"]
OutputFormat: TypeAlias = Literal["jsonl", "parquet"]

FORMATS: Final[dict[str, InputFormat]] = {
    "csv": "csv",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "parquet": "parquet",
}
"""Formats an input may have, by its extension."""

_URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.*)", re.DOTALL)
_MAX_KEY = 900
"""S3 allows 1024 bytes; a job appends at most 124 of its own."""
JOBS: Final = "jobs/"
"""The only prefix of the data bucket that jobs may use: all that their IAM role can reach of it, apart
from reading artifacts."""
WORK: Final = JOBS + "_work/"
"""What jobs keep for themselves; nobody's input or output."""


@dataclass(frozen=True, slots=True)
class Location:
    """One object, or with a key that ends in ``/`` a folder."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def __truediv__(self, name: str) -> Location:
        """The object ``name`` in this folder."""
        base = self.key if not self.key or self.key.endswith("/") else self.key + "/"
        return Location(self.bucket, base + name)

    @classmethod
    def parse(cls, uri: str, *, loc: str = "uri") -> Location:
        """Read an ``s3://bucket/key`` URI.

        Raises:
            Invalid: not such a URI; ``loc`` names the field.
        """
        match = _URI.fullmatch(uri)
        if match is None:
            raise Invalid.at(loc, "must look like s3://bucket/key", code="invalid_location")
        bucket, key = match.groups()
        if len(key.encode("utf-8", "replace")) > _MAX_KEY:
            raise Invalid.at(loc, f"the key may have at most {_MAX_KEY} bytes")
        if any(ord(c) < 32 for c in key) or {".", ".."} & set(key.split("/")) or "//" in key:
            raise Invalid.at(
                loc, "the key may not hold control characters, `//`, `.` or `..` parts"
            )
        return cls(bucket, key)


class Buckets:
    """The buckets a job may read and write: the deployment's own and those listed beside it."""

    def __init__(self, own: str, also: Iterable[str] = ()) -> None:
        self._own = own
        self._allowed = frozenset({own, *filter(None, also)})

    @classmethod
    def of(cls, own: str, listed: str) -> Buckets:
        """From settings: ``listed`` names further buckets, separated by commas."""
        return cls(own, (name.strip() for name in listed.split(",")))

    def check(self, uri: str, loc: str, *, folder: bool = False) -> Location:
        """The location, if a job may use it.

        Args:
            folder: it is a folder whether or not it ends in ``/``.

        Raises:
            Invalid: malformed, another bucket, or outside the jobs' prefix of the data bucket.
        """
        location = Location.parse(uri, loc=loc)
        if location.bucket not in self._allowed:
            raise Invalid.at(
                loc, "this deployment's jobs may not use that bucket", code="bucket_not_allowed"
            )
        key = location.key + "/" if folder and not location.key.endswith("/") else location.key
        if location.bucket == self._own and (not key.startswith(JOBS) or key.startswith(WORK)):
            raise Invalid.at(
                loc,
                f"of this bucket jobs may use s3://{self._own}/{JOBS} only ({WORK} excepted)",
                code="prefix_reserved",
            )
        return location


def input_format(location: Location, declared: InputFormat | None) -> InputFormat:
    """The declared format, or the one the extension says.

    Raises:
        Invalid: neither is known.
    """
    if declared is not None:
        return declared
    extension = location.key.rpartition("/")[2].rpartition(".")[2].lower()
    if extension in FORMATS:
        return FORMATS[extension]
    raise Invalid.at(
        "input", f"end it in .{', .'.join(FORMATS)} or say input_format", code="unknown_format"
    )
