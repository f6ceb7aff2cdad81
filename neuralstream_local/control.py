"""Calls between the processes of the laptop stack, all through the port of the AWS emulation.

The emulation forwards function calls and the question for the event sources' state to the worker, and
stores the checkpoints of the streams, which must outlive the worker.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import urllib3

__all__ = [
    "CHECKPOINT_PATH",
    "REGISTRATION_PATH",
    "SOURCES_PATH",
    "Checkpoint",
    "StoredCheckpoint",
    "call",
]

REGISTRATION_PATH: Final = "/_neuralstream/functions"
"""PUT the base URL of the worker's server here."""
SOURCES_PATH: Final = "/_neuralstream/sources"
"""GET the reports of the event sources."""
CHECKPOINT_PATH: Final = "/_neuralstream/checkpoints/"
"""PUT and GET a short text under the name that follows."""


def call(
    endpoint: str, method: str, path: str, body: bytes = b"", *, seconds: float = 10.0
) -> tuple[int, bytes]:
    """Status and body of the answer of the emulation at ``endpoint``.

    Raises:
        urllib3.exceptions.HTTPError: no HTTP answer within ``seconds``.
    """
    # moto takes a PUT without a content type for a form.
    headers = {"content-type": "application/octet-stream"}
    answer = urllib3.request(
        method, endpoint + path, body=body, headers=headers, timeout=seconds, retries=False
    )
    return answer.status, answer.data


class Checkpoint:
    """The position up to which a stream was processed, kept in this object."""

    def __init__(self) -> None:
        self._text: str | None = None

    def get(self) -> str | None:
        return self._text

    def put(self, text: str) -> None:
        self._text = text


class StoredCheckpoint(Checkpoint):
    """The same, kept by the AWS emulation at ``endpoint`` under ``name``."""

    def __init__(self, endpoint: str, name: str) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._path = CHECKPOINT_PATH + quote(name, safe="")

    def get(self) -> str | None:
        status, body = call(self._endpoint, "GET", self._path)
        return body.decode() if status == 200 else None

    def put(self, text: str) -> None:
        status, _ = call(self._endpoint, "PUT", self._path, text.encode())
        if status != 204:
            raise RuntimeError(f"the AWS emulation answered {status} to {self._path}")
