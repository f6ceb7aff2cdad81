"""``ns.services``: feature services, named and versioned lists of features."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from neuralstream_client._async.transport import AsyncTransport
from neuralstream_client.answers import ServiceAnswer, ServiceDeletion
from neuralstream_client.call import Call, path
from neuralstream_client.services import ServiceLike, services_of

__all__ = ["AsyncServices"]

_SERVICE: Final = "/feature-services/{}"


class AsyncServices:
    """Feature services, which models and training sets refer to as ``service:name@2``."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def apply(
        self, service: ServiceLike | Sequence[ServiceLike] | str | Path
    ) -> tuple[ServiceAnswer, ...]:
        """Create feature services, or their next versions. Applying a service again changes nothing.

        Args:
            service: a `FeatureService`, a dict, a list of them, or the path of a YAML or JSON file.

        Raises:
            DataError: a service is wrong, or the file cannot be read.
            Invalid: there is no such view or feature.
        """
        made = []
        for declared in services_of(service):
            call = Call.of("PUT", path(_SERVICE, declared.name), body=declared.body)
            made.append(await self._transport.fetch(ServiceAnswer, call))
        return tuple(made)

    async def get(self, name: str, version: int | None = None) -> ServiceAnswer:
        """A version of a feature service.

        Args:
            name: of the service.
            version: its number; the newest one when not given.

        Raises:
            NotFound: there is no such service or version.
        """
        call = Call.of("GET", path(_SERVICE, name), query={"version": version})
        return await self._transport.fetch(ServiceAnswer, call)

    def list(self, *, page_size: int = 100) -> AsyncIterator[ServiceAnswer]:
        """All feature services by name, each at its newest version."""
        query = {"limit": page_size}
        return self._transport.pages(
            "/feature-services", "services", ServiceAnswer.model_validate, query
        )

    async def delete(self, name: str) -> ServiceDeletion:
        """Delete a feature service; models that were registered with it keep their features.

        Raises:
            NotFound: there is none of this name.
        """
        call = Call.of("DELETE", path(_SERVICE, name))
        return await self._transport.fetch(ServiceDeletion, call)
