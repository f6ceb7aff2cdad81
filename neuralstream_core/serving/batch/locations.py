"""Files of jobs in S3: their ``s3://`` locations, which of them a job may use, reads and writes."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from neuralstream_core.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = [
    "FORMATS",
    "WORK",
    "Buckets",
    "InputFormat",
    "Location",
    "ObjectStat",
    "Objects",
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
"""Bytes; S3 allows 1024 and a job appends at most 124 of its own."""
_JOBS: Final = "jobs/"
"""The only prefix of the data bucket that jobs may use; their IAM role allows no other, apart from reading
artifacts."""
WORK: Final = _JOBS + "_work/"
"""Prefix of the working files of jobs; no input or output may be there."""


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
        if location.bucket == self._own and (not key.startswith(_JOBS) or key.startswith(WORK)):
            raise Invalid.at(
                loc,
                f"of this bucket jobs may use s3://{self._own}/{_JOBS} only ({WORK} excepted)",
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


_BLOCK: Final = 1 << 20
"""Bytes of one step of a streamed read."""


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """Size in bytes and entity tag of an object: what a plan pins, so that every chunk reads the same."""

    size: int
    etag: str


class Objects:
    """Reads and writes job files.

    Raises (every method):
        NotFound: no such bucket or object.
        Conflict: the object is no longer the one that ``etag`` names.
        Forbidden: the function's role may not.
        Unavailable: S3 cannot be reached or failed (``dependency="storage"``).
    """

    def __init__(self, client: S3Client) -> None:
        self._client = client

    def stat(self, at: Location) -> ObjectStat:
        """Size and entity tag."""
        answer = self._call("head_object", at)
        return ObjectStat(answer["ContentLength"], answer["ETag"])

    def read(self, at: Location) -> bytes:
        """A whole small object (manifests and results, written by jobs themselves)."""
        return self._body(self._call("get_object", at)["Body"], at)

    def stream(self, at: Location, start: int, end: int, etag: str) -> Iterator[bytes]:
        """Bytes ``[start, end)`` in blocks of at most 1 MiB, without holding more than one."""
        if end <= start:
            return
        answer = self._call("get_object", at, Range=f"bytes={start}-{end - 1}", IfMatch=etag)
        body = answer["Body"]
        left = end - start
        while left:
            block = self._body(body, at, min(_BLOCK, left))
            if not block:
                raise Unavailable(f"{at} ended early", dependency="storage")
            left -= len(block)
            yield block

    def write(self, at: Location, data: bytes, content_type: str) -> str:
        """Replace the object, all or nothing; S3 verifies the bytes. Returns their SHA-256 in hex."""
        digest = hashlib.sha256(data)
        self._call(
            "put_object",
            at,
            Body=data,
            ContentType=content_type,
            ChecksumSHA256=base64.b64encode(digest.digest()).decode(),
        )
        return digest.hexdigest()

    def _body(self, body: Any, at: Location, size: int | None = None) -> bytes:
        from botocore.exceptions import BotoCoreError, HTTPClientError

        try:
            data: bytes = body.read() if size is None else body.read(size)
        except (BotoCoreError, HTTPClientError, OSError) as error:
            raise Unavailable(f"reading {at} broke off", dependency="storage") from error
        return data

    def _call(self, operation: str, at: Location, **request: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(self._client, operation)(Bucket=at.bucket, Key=at.key, **request)
        except ClientError as error:
            raise _translate(error.response, at) from error
        except BotoCoreError as error:
            raise Unavailable(
                f"S3 cannot be reached ({type(error).__name__})", dependency="storage"
            ) from error


def _translate(response: Any, at: Location) -> Exception:
    code = str(response.get("Error", {}).get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status == 404:
        return NotFound(f"{at} does not exist", code="object_not_found")
    if status in (412, 416):
        return Conflict(
            f"{at} was replaced while the job was reading it; run the job again",
            code="input_changed",
        )
    if status == 403:
        return Forbidden(f"the job's role may not use {at}", code="storage_forbidden")
    return Unavailable(f"S3 answered {code or status}", dependency="storage")
