"""``ns.monitoring``: drift reports and statistics of predictions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

from neuralstream_client._async.transport import AsyncTransport
from neuralstream_client.answers import DriftSummaries, ModelsStats, ModelStats, Performance
from neuralstream_client.call import Call
from neuralstream_client.drift import Drift

__all__ = ["AsyncMonitoring", "PerformanceWindow", "Window"]

Window: TypeAlias = Literal["15m", "1h", "24h", "7d"]
PerformanceWindow: TypeAlias = Literal["1h", "24h", "7d", "30d"]


class AsyncMonitoring:
    """Reports over a window: the last ``window``, or ``start`` to ``end``; the last hour when not given."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def drift(
        self,
        model: str,
        version: str | None = None,
        *,
        window: Window | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        all_bins: bool = False,
    ) -> Drift:
        """Drift of a version against its baseline.

        Args:
            model: the model.
            version: the one in production, else the latest, when not given.
            window: up to now.
            start: with a time zone, instead of ``window``.
            end: now when not given.
            all_bins: each series with all of its bins, not only the five that moved most.

        Raises:
            NotFound: there is no such model or version.
        """
        query = {"model": model, "version": version, **_window(window, start, end)}
        query["bins"] = "all" if all_bins else None
        return await self._transport.fetch(Drift, Call.of("GET", "/monitoring/drift", query=query))

    async def drifts(
        self,
        *,
        window: Window | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> DriftSummaries:
        """Drift of every version that has traffic, in short."""
        call = Call.of("GET", "/monitoring/drift", query=_window(window, start, end))
        return await self._transport.fetch(DriftSummaries, call)

    async def stats(
        self,
        model: str,
        *,
        window: Window | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> ModelStats:
        """Requests, errors, latencies and predictions of a model by version.

        Raises:
            NotFound: there is no such model.
        """
        query = {"model": model, **_window(window, start, end)}
        call = Call.of("GET", "/monitoring/stats", query=query)
        return await self._transport.fetch(ModelStats, call)

    async def all_stats(
        self,
        *,
        window: Window | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> ModelsStats:
        """The statistics of every model that has traffic."""
        call = Call.of("GET", "/monitoring/stats", query=_window(window, start, end))
        return await self._transport.fetch(ModelsStats, call)

    async def performance(
        self,
        model: str,
        version: str | None = None,
        *,
        window: PerformanceWindow | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        by: Literal["predicted", "observed"] | None = None,
        series: Literal["hour", "day"] | None = None,
        slices: str | None = None,
    ) -> Performance:
        """How good a model's predictions were, as far as outcomes tell, by version.

        Args:
            model: the model.
            version: all with predictions in the window when not given.
            window: up to now; the last 7 days when neither it nor ``start`` is given.
            start: with a time zone, instead of ``window``.
            end: now when not given.
            by: which time lies in the window: of the prediction (when not given) or of its outcome.
            series: the same by hour or day as well.
            slices: the same by values of this feature, ``view:feature``, of a model that logs its features.

        Raises:
            NotFound: there is no such model or version.
        """
        query = {
            "model": model,
            "version": version,
            "by": by,
            "series": series,
            "slices": slices,
            **_window(window, start, end),
        }
        call = Call.of("GET", "/monitoring/performance", query=query)
        return await self._transport.fetch(Performance, call)


def _window(window: str | None, start: datetime | None, end: datetime | None) -> Mapping[str, Any]:
    return {
        "window": window,
        "start": None if start is None else start.isoformat(),
        "end": None if end is None else end.isoformat(),
    }
