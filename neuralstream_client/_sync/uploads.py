"""Files that are sent to the stack's bucket, for jobs to read."""

from __future__ import annotations

from neuralstream_client._sync.transport import Transport
from neuralstream_client.answers import FileUpload
from neuralstream_client.call import Call
from neuralstream_client.inputs import JobInput, input_file

__all__ = ["address_of"]


def address_of(transport: Transport, given: JobInput, declared: str | None = None) -> str:
    """The ``s3://`` address of an input, which is sent first if it is not in S3.

    Raises:
        ApiError: the stack or its store refused.
        DataError: it cannot be sent; see `input_file`.
    """
    file = input_file(given, declared)
    if file is None:
        return str(given)
    announced = transport.fetch(
        FileUpload, Call.of("POST", "/jobs/uploads", body=file.request(), repeatable=True)
    )
    transport.upload(announced.upload.url, announced.upload.headers, file.content)
    return announced.input
