"""Addresses to which a caller sends bytes that are too large for a request: presigned ``PUT``s to S3."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from pydantic import Field

from neuralstream_core.objects import Location
from neuralstream_core.types import Record

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["UPLOAD_SECONDS", "Upload", "checksum_of", "presigned"]

UPLOAD_SECONDS: Final = 3600
"""How long an upload address works."""
_BINARY: Final = "application/octet-stream"


class Upload(Record):
    """How to send bytes: ``method`` to ``url`` with exactly ``headers`` and the bytes as body."""

    method: str = Field(description="`PUT`")
    url: str = Field(description="presigned address in S3; it needs no API key")
    headers: dict[str, str] = Field(description="to be sent exactly so: the signature covers them")


def presigned(s3: S3Client, at: Location, digest: str, size: int) -> Upload:
    """An address that takes exactly these bytes for `UPLOAD_SECONDS`, computed without I/O.

    Size and SHA-256 are signed: S3 refuses a body that does not have both.
    """
    checksum = checksum_of(digest)
    url = s3.generate_presigned_url(
        "put_object",
        Params={
            "Bucket": at.bucket,
            "Key": at.key,
            "ContentLength": size,
            "ContentType": _BINARY,
            "ChecksumSHA256": checksum,
        },
        ExpiresIn=UPLOAD_SECONDS,
    )
    headers = {
        "content-length": str(size),
        "content-type": _BINARY,
        "x-amz-checksum-sha256": checksum,
    }
    return Upload(method="PUT", url=url, headers=headers)


def checksum_of(digest: str) -> str:
    """A hexadecimal SHA-256 as S3 takes it."""
    return base64.b64encode(bytes.fromhex(digest)).decode()
