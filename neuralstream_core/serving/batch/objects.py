"""S3 as jobs use it: ranged reads of one pinned version of an object, whole small writes."""

from __future__ import annotations

import base64
import hashlib
import io
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from neuralstream_core.errors import Conflict, Forbidden, NeuralStreamError, NotFound, Unavailable
from neuralstream_core.serving.batch.locations import Location

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["BLOCK", "ObjectFile", "Objects", "Stat"]

BLOCK: Final = 1 << 20
"""Bytes of one step of a streamed read."""


@dataclass(frozen=True, slots=True)
class Stat:
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

    def stat(self, at: Location) -> Stat:
        """Size and entity tag."""
        answer = self._call("head_object", at)
        return Stat(answer["ContentLength"], answer["ETag"])

    def read(self, at: Location) -> bytes:
        """A whole small object (manifests and results, written by jobs themselves)."""
        return self._body(self._call("get_object", at)["Body"], at)

    def read_range(self, at: Location, start: int, end: int, etag: str) -> bytes:
        """Bytes ``[start, end)``."""
        if end <= start:
            return b""
        answer = self._call("get_object", at, Range=f"bytes={start}-{end - 1}", IfMatch=etag)
        return self._body(answer["Body"], at)

    def stream(self, at: Location, start: int, end: int, etag: str) -> Iterator[bytes]:
        """Bytes ``[start, end)`` in blocks of at most `BLOCK`, without holding more than one."""
        if end <= start:
            return
        answer = self._call("get_object", at, Range=f"bytes={start}-{end - 1}", IfMatch=etag)
        body = answer["Body"]
        left = end - start
        while left:
            block = self._body(body, at, min(BLOCK, left))
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


class ObjectFile(io.RawIOBase):
    """A seekable read-only file over a pinned object, with a tail that replaces its end.

    A Parquet reader sees the object's own bytes below ``length`` and ``tail`` after them: the same
    data pages under another footer. It reads a page of each column in turn, so blocks of several
    places are kept: at most `_KEPT` of `_SPAN` bytes, the least recently used goes first.
    """

    _SPAN: Final = 2 << 20
    _KEPT: Final = 32

    def __init__(
        self, objects: Objects, at: Location, etag: str, length: int, tail: bytes = b""
    ) -> None:
        super().__init__()
        self._objects, self._at, self._etag = objects, at, etag
        self._length, self._tail = length, tail
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self.failure: NeuralStreamError | None = None
        """Why a read failed: a library that reads through this file may hide it."""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        size = self._length + len(self._tail)
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        end = self._length + len(self._tail)
        start = self._position
        stop = end if size < 0 else min(end, start + size)
        if start >= stop:
            return b""
        self._position = stop
        parts = [
            self._block(n)[max(0, start - n * self._SPAN) : stop - n * self._SPAN]
            for n in range(start // self._SPAN, -(-min(stop, self._length) // self._SPAN))
        ]
        if stop > self._length:
            parts.append(self._tail[max(0, start - self._length) : stop - self._length])
        return b"".join(parts)

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        start = number * self._SPAN
        end = min(start + self._SPAN, self._length)
        try:
            block = self._objects.read_range(self._at, start, end, self._etag)
        except NeuralStreamError as error:
            self.failure = error
            raise
        self._blocks[number] = block
        if len(self._blocks) > self._KEPT:
            self._blocks.popitem(last=False)
        return block
