"""Inputs of jobs that a caller has on its own disk: an address to send the file to, and its name in S3."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field, StringConstraints

from neuralstream_core.jobs.files import JOBS
from neuralstream_core.objects import Location
from neuralstream_core.types import Frozen, Record
from neuralstream_core.uploads import Upload, presigned

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["MAX_INPUT", "FileUpload", "UploadRequest", "announce"]

MAX_INPUT: Final = 1 << 30
"""Bytes of a file that is sent so."""


class UploadRequest(Frozen):
    """The body of ``POST /jobs/uploads``."""

    format: Literal["csv", "jsonl", "parquet"] = Field(description="of the file")
    size: int = Field(ge=1, le=MAX_INPUT, description=f"bytes of the file, at most {MAX_INPUT}")
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="of the file, in hex: nothing else can be sent to the address"
    )


class FileUpload(Record):
    """Where to send a file, and how jobs name it from then on."""

    input: str = Field(
        description="`s3://` address: the `input` of a job, a backfill or a training set's labels, once the"
        " file was sent; kept as long as the results of jobs"
    )
    upload: Upload = Field(description="how to send the file, within an hour")


def announce(s3: S3Client, bucket: str, request: UploadRequest) -> FileUpload:
    """An address for one file, below ``jobs/uploads/`` under a name that nobody can guess. No I/O."""
    at = Location(bucket, f"{JOBS}uploads/{secrets.token_hex(16)}/input.{request.format}")
    return FileUpload(input=str(at), upload=presigned(s3, at, request.sha256, request.size))
