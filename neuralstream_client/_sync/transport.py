"""Sending calls over one pool of connections, again where it is safe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

import httpx
from pydantic import BaseModel

from neuralstream_client.call import Call, parsed
from neuralstream_client.errors import ApiError, ConnectionFailed, api_error
from neuralstream_client.retries import retry_after
from neuralstream_client.settings import Settings

__all__ = ["Transport"]

_UPLOAD_SECONDS: Final = 600.0

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


class Transport:
    """Sends calls to one stack.

    Args:
        settings: address, key, timeout and retries.
        http: the pool of connections.
    """

    def __init__(self, settings: Settings, http: httpx.Client) -> None:
        self.settings = settings
        self.http = http

    def send(self, call: Call) -> Any:
        """The parsed JSON of the answer.

        Raises:
            ApiError: the stack refused, after the last attempt.
            ConnectionFailed: no answer came, after the last attempt.
        """
        attempt = 0
        while True:
            attempt += 1
            failure: ApiError | ConnectionFailed
            try:
                response = self._sent(call)
            except httpx.TransportError as error:
                failure = ConnectionFailed(
                    f"{call.method} {self.settings.url}{call.path}: {error or type(error).__name__}"
                )
                failure.__cause__ = error
                again = self.settings.retries.after_error(error, idempotent=call.idempotent)
                asked = None
            else:
                if response.status_code < 400:
                    return parsed(response)
                asked = retry_after(response.headers)
                failure = api_error(
                    response.status_code,
                    parsed(response),
                    request_id=response.headers.get("x-request-id")
                    or response.headers.get("apigw-requestid", ""),
                    retry_after=asked,
                )
                again = self.settings.retries.after_status(
                    response.status_code, idempotent=call.idempotent
                )
            pause = self.settings.retries.pause(attempt, asked) if again else None
            if pause is None:
                raise failure
            time.sleep(pause)

    def fetch(self, model: type[M], call: Call) -> M:
        """The answer as a model."""
        return model.model_validate(self.send(call))

    def pages(
        self, path: str, items: str, read: Callable[[Any], T], query: Mapping[str, Any]
    ) -> Iterator[T]:
        """Every item of a list, page after page.

        Args:
            path: of the list.
            items: the field of the answer that has a page's items.
            read: makes one item of its JSON.
            query: parameters beside ``next_token``.
        """
        token: str | None = None
        while True:
            page = self.send(Call.of("GET", path, query={**query, "next_token": token}))
            for item in page[items]:
                yield read(item)
            token = page.get("next_token")
            if token is None:
                return

    def upload(self, url: str, headers: Mapping[str, str], content: bytes) -> None:
        """PUT ``content`` to an address that the stack handed out; without the API key.

        Raises:
            ApiError: the store refused.
            ConnectionFailed: no answer came.
        """
        try:
            response = self.http.put(
                url, content=content, headers=dict(headers), timeout=_UPLOAD_SECONDS
            )
        except httpx.TransportError as error:
            raise ConnectionFailed(f"the upload failed: {error or type(error).__name__}") from error
        if response.status_code >= 400:
            raise api_error(response.status_code, {"detail": f"the upload failed: {response.text}"})

    def download(self, url: str) -> bytes:
        """The content at an address that the stack handed out; without the API key.

        Raises:
            ApiError: the store refused.
            ConnectionFailed: no answer came.
        """
        try:
            response = self.http.get(url, timeout=_UPLOAD_SECONDS)
        except httpx.TransportError as error:
            raise ConnectionFailed(
                f"the download failed: {error or type(error).__name__}"
            ) from error
        if response.status_code >= 400:
            problem = {"detail": f"the download failed: {response.text}"}
            raise api_error(response.status_code, problem)
        return response.content

    def _sent(self, call: Call) -> httpx.Response:
        return self.http.request(
            call.method,
            self.settings.url + call.path,
            params=call.query or None,
            content=call.content,
            headers={**self.settings.headers, **call.headers},
            timeout=self.settings.timeout,
        )
