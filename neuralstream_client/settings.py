"""Where the stack is and with which key: arguments, else the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import urlsplit

import httpx

from neuralstream_client.errors import ConfigurationError
from neuralstream_client.retries import Retries
from neuralstream_client.version import __version__

__all__ = ["Settings"]

_TIMEOUT: Final = httpx.Timeout(35.0, connect=5.0)
"""Longer than API Gateway's limit of 30 s, so that its answer arrives."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How calls are made.

    Args:
        url: of the stack, without a trailing slash.
        api_key: sent as ``x-api-key``; ``None`` for a stack that asks for none.
        timeout: of one attempt.
        retries: see `Retries`.
    """

    url: str
    api_key: str | None = field(default=None, repr=False)
    timeout: httpx.Timeout = field(default_factory=lambda: _TIMEOUT)
    retries: Retries = field(default_factory=Retries)

    @classmethod
    def of(
        cls,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float | httpx.Timeout | None = None,
        retries: int | Retries | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> Self:
        """From arguments, else from ``NEURALSTREAM_URL`` and ``NEURALSTREAM_API_KEY``.

        Raises:
            ConfigurationError: no address is given, it is not an HTTP address, or an option makes no sense.
        """
        address = (url or environ.get("NEURALSTREAM_URL") or "").strip().rstrip("/")
        if not address:
            raise ConfigurationError(
                "no stack is given: set NEURALSTREAM_URL, or pass url, such as "
                "NeuralStream('http://127.0.0.1:8000')"
            )
        parts = urlsplit(address)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise ConfigurationError(f"{address!r} is not an http:// or https:// address")
        key = api_key or environ.get("NEURALSTREAM_API_KEY") or None
        return cls(
            address,
            key,
            _TIMEOUT if timeout is None else httpx.Timeout(timeout),
            Retries() if retries is None else _retries(retries),
        )

    def with_options(
        self,
        *,
        timeout: float | httpx.Timeout | None = None,
        retries: int | Retries | None = None,
    ) -> Self:
        """The same with another timeout (seconds) or other retries."""
        return type(self)(
            self.url,
            self.api_key,
            self.timeout if timeout is None else httpx.Timeout(timeout),
            self.retries if retries is None else _retries(retries),
        )

    @property
    def headers(self) -> dict[str, str]:
        """Sent with every call."""
        headers = {"user-agent": f"neuralstream-python/{__version__}", "accept": "application/json"}
        if self.api_key:
            headers["x-api-key"] = self.api_key
        return headers


def _retries(given: int | Retries) -> Retries:
    return given if isinstance(given, Retries) else Retries(attempts=given + 1)
