"""Which files in S3 a job may use, and in which formats they may be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

from neuralstream_core.errors import Invalid
from neuralstream_core.jobs.files import JOBS, WORK
from neuralstream_core.objects import Location

__all__ = [
    "FORMATS",
    "Buckets",
    "InputFormat",
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
