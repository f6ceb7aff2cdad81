"""Objects in S3 by their ``s3://`` location: read whole or by ranges, written all or nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from neuralstream_core.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from neuralstream_core.time import Micros, to_micros

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["ListedObject", "Location", "ObjectStat", "Objects"]

_URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.*)", re.DOTALL)
_MAX_KEY = 900
"""Bytes; S3 allows 1024 and a job appends at most 124 of its own."""


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


_BLOCK: Final = 1 << 20
"""Bytes of one step of a streamed read."""
_DELETED_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """Size in bytes and entity tag of an object: what a plan pins, so that every chunk reads the same."""

    size: int
    etag: str


class ListedObject(NamedTuple):
    """An object of a listing: its size in bytes, and when it was last written."""

    at: Location
    size: int
    modified: Micros


class Objects:
    """Reads and writes objects.

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
        """A whole small object, such as a manifest."""
        return self._body(self._call("get_object", at)["Body"], at)

    def stream(self, at: Location, start: int, end: int, etag: str = "") -> Iterator[bytes]:
        """Bytes ``[start, end)`` in blocks of at most 1 MiB, without holding more than one.

        Args:
            etag: entity tag that the object must have; empty for one that is never replaced.
        """
        if end <= start:
            return
        pinned: dict[str, Any] = {"IfMatch": etag} if etag else {}
        answer = self._call("get_object", at, Range=f"bytes={start}-{end - 1}", **pinned)
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

    def write_file(self, at: Location, path: Path, content_type: str) -> None:
        """Replace the object by the bytes of a local file of at most 5 GB, as `write`."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
            file.seek(0)
            self._call(
                "put_object",
                at,
                Body=file,
                ContentType=content_type,
                ChecksumSHA256=base64.b64encode(digest).decode(),
            )

    def delete(self, objects: Iterable[Location]) -> int:
        """Delete objects of one bucket, and count them; one that is not there is fine."""
        count = 0
        left = iter(objects)
        while some := list(islice(left, _DELETED_AT_ONCE)):
            keys = [{"Key": at.key} for at in some]
            answer = self._call(
                "delete_objects", some[0], Delete={"Objects": keys, "Quiet": True}, keyed=False
            )
            if errors := answer.get("Errors"):
                raise Unavailable(
                    f"S3 did not delete {errors[0].get('Key')}: {errors[0].get('Code')}",
                    dependency="storage",
                )
            count += len(some)
        return count

    def listed(self, folder: Location) -> Iterator[ListedObject]:
        """Every object below ``folder``, whose key ends in ``/``, in the order of the keys."""
        token: dict[str, Any] = {}
        while True:
            answer = self._call("list_objects_v2", folder, keyed=False, Prefix=folder.key, **token)
            for entry in answer.get("Contents", ()):
                changed = to_micros(entry["LastModified"])
                yield ListedObject(Location(folder.bucket, entry["Key"]), entry["Size"], changed)
            if not answer.get("IsTruncated"):
                return
            token["ContinuationToken"] = answer["NextContinuationToken"]

    def _body(self, body: Any, at: Location, size: int | None = None) -> bytes:
        from botocore.exceptions import BotoCoreError, HTTPClientError

        try:
            data: bytes = body.read() if size is None else body.read(size)
        except (BotoCoreError, HTTPClientError, OSError) as error:
            raise Unavailable(f"reading {at} broke off", dependency="storage") from error
        return data

    def _call(self, operation: str, at: Location, *, keyed: bool = True, **request: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            if keyed:
                request["Key"] = at.key
            return getattr(self._client, operation)(Bucket=at.bucket, **request)
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
            f"{at} was replaced while it was being read; try again", code="input_changed"
        )
    if status == 403:
        return Forbidden(f"the function's role may not use {at}", code="storage_forbidden")
    return Unavailable(f"S3 answered {code or status}", dependency="storage")
