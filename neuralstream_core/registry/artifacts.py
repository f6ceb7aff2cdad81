"""Artifacts, uploads and profiles in S3.

================================  =============================================================
key                               what
================================  =============================================================
``artifacts/sha256/{digest}``     a validated artifact; never overwritten with other bytes
``uploads/{ns}/{model}/{id}``     bytes a caller uploaded, until they are validated and copied
``profiles/{digest}.json``        a monitoring profile
``profiles/checks/{digest}.json`` the rows and answers that a version had to reproduce
================================  =============================================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from neuralstream_core.errors import Conflict, TooLarge, Unavailable
from neuralstream_core.objects import Location
from neuralstream_core.uploads import Upload, checksum_of, presigned

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["MAX_ARTIFACT", "ArtifactStore"]

MAX_ARTIFACT: Final = 256 * 1024 * 1024
"""Bytes an artifact may have."""

_BINARY: Final = "application/octet-stream"
_JSON: Final = "application/json"
_MISSING: Final = frozenset({"404", "NoSuchKey", "NotFound", "403", "AccessDenied"})
"""S3 says AccessDenied for a key that is not there to whoever may not list the bucket, as no function may."""


class ArtifactStore:
    """Reads and writes of the data bucket.

    Raises (every method):
        Unavailable: S3 failed or cannot be reached, or what it holds is not what was stored.
    """

    def __init__(self, s3: S3Client, bucket: str) -> None:
        self._s3, self.bucket = s3, bucket

    def get(self, digest: str) -> bytes:
        """The artifact, its SHA-256 verified."""
        return self._verified(f"artifacts/sha256/{digest}", digest)

    def put(self, data: bytes) -> str:
        """Store an artifact and return its digest; storing it again changes nothing."""
        return self._put_by_digest("artifacts/sha256/{}", data, _BINARY)

    def get_profile(self, digest: str) -> bytes:
        """The JSON of a monitoring profile, its SHA-256 verified."""
        return self._verified(f"profiles/{digest}.json", digest)

    def put_profile(self, data: bytes) -> str:
        """Store a monitoring profile and return its digest."""
        return self._put_by_digest("profiles/{}.json", data, _JSON)

    def put_check(self, data: bytes) -> str:
        """Store a version's check and return its digest."""
        return self._put_by_digest("profiles/checks/{}.json", data, _JSON)

    def presign(self, key: str, digest: str, size: int) -> Upload:
        """An address for an artifact; see `uploads.presigned`."""
        return presigned(self._s3, Location(self.bucket, key), digest, size)

    def put_upload(self, key: str, data: bytes) -> None:
        """Keep something beside an upload until that is completed."""
        self._put(key, data, hashlib.sha256(data).hexdigest(), _JSON)

    def uploaded(self, key: str) -> bytes:
        """What was uploaded under ``key``.

        Raises:
            Conflict: nothing was.
            TooLarge: more than `MAX_ARTIFACT`.
        """
        return self.read(
            key, Conflict("the artifact has not been uploaded yet", code="upload_missing")
        )

    def _verified(self, key: str, digest: str) -> bytes:
        data = self.read(
            key, Unavailable(f"the stored object {key} is missing", dependency="artifacts")
        )
        if hashlib.sha256(data).hexdigest() != digest:
            raise Unavailable(
                f"the stored object {key} does not have the bytes it was stored with",
                dependency="artifacts",
            )
        return data

    def read(self, key: str, missing: Exception) -> bytes:
        """Any object of the data bucket of at most `MAX_ARTIFACT` bytes; ``missing`` is raised for none."""

        with _guarded(missing):
            answer = self._s3.get_object(Bucket=self.bucket, Key=key)
            with answer["Body"] as body:
                if answer["ContentLength"] > MAX_ARTIFACT:
                    raise TooLarge(f"an artifact may have at most {MAX_ARTIFACT} bytes")
                return body.read()

    def _put_by_digest(self, key: str, data: bytes, media_type: str) -> str:
        digest = hashlib.sha256(data).hexdigest()
        self._put(key.format(digest), data, digest, media_type)
        return digest

    def _put(self, key: str, data: bytes, digest: str, media_type: str) -> None:
        with _guarded():
            self._s3.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=data,
                ContentType=media_type,
                ChecksumSHA256=checksum_of(digest),
            )


@contextmanager
def _guarded(missing: Exception | None = None) -> Iterator[None]:
    """Turn boto3's errors into designed ones: ``missing`` for an object that is not there."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if missing is not None and code in _MISSING:
            raise missing from None
        raise Unavailable(
            f"the artifact store answered {code or 'an error'}", dependency="artifacts"
        ) from error
    except BotoCoreError as error:
        raise Unavailable(
            f"the artifact store cannot be reached ({type(error).__name__})",
            dependency="artifacts",
        ) from error
