"""``neuralstream drift`` and ``neuralstream stats``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Final

import typer

from neuralstream_client import NeuralStream
from neuralstream_client._sync.monitoring import Window
from neuralstream_client.answers import ModelStats, SeriesReport
from neuralstream_client.command.output import number, share, table
from neuralstream_client.command.running import Shown, command

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["add_to"]

_ORDER: Final = ("drift", "warning", "ok", "insufficient_data", "no_reference")
"""Of statuses, the worst first."""

Model = Annotated[str | None, typer.Argument(help="All models with traffic when not given.")]
Over = Annotated[Window, typer.Option("--window", help="Up to now.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "drift")(_drift)
    command(app, "stats")(_stats)


def _drift(
    ns: NeuralStream,
    model: Model = None,
    version: Annotated[
        str | None, typer.Option(help="The one in production when not given.")
    ] = None,
    window: Over = "1h",
) -> Shown:
    """Drift against the baseline: one sentence, then every series, the worst first."""
    if model is None:
        found = ns.monitoring.drifts(window=window)
        rows = (
            [one.model, one.version, one.status, one.rows, ", ".join(one.drifted)]
            for one in found.models
        )
        sentence = f"{len(found.models)} versions have traffic in the last {window}."
        listed = table(("model", "version", "status", "rows", "drifted"), rows, right=("rows",))
        return Shown(found, [sentence, listed])
    report = ns.monitoring.drift(model, version, window=window)
    lines = (
        [
            one.feature,
            one.status,
            number(one.psi),
            number(one.threshold),
            one.n_current,
            share(one.missing.current),
        ]
        for one in sorted(report.series, key=_urgency)
    )
    columns = ("series", "status", "PSI", "threshold", "rows", "missing")
    return Shown(
        report,
        [report.sentence, table(columns, lines, right=("PSI", "threshold", "rows", "missing"))],
    )


def _stats(ns: NeuralStream, model: Model = None, window: Over = "1h") -> Shown:
    """Requests, errors and latencies by version."""
    if model is not None:
        one = ns.monitoring.stats(model, window=window)
        return Shown(one, [_counted([one])])
    every = ns.monitoring.all_stats(window=window)
    return Shown(every, [_counted(every.models)])


def _counted(models: Iterable[ModelStats]) -> Table:
    rows = []
    for model in models:
        for one in model.versions:
            total = one.latency_ms.get("total") or next(iter(one.latency_ms.values()), None)
            rows.append(
                [
                    model.model,
                    one.version,
                    one.requests,
                    one.rows,
                    share(one.error_rate),
                    number(total.p50 if total else None, 1),
                    number(total.p99 if total else None, 1),
                    share(one.traffic_share),
                ]
            )
    columns = ("model", "version", "requests", "rows", "errors", "p50 ms", "p99 ms", "traffic")
    return table(columns, rows, right=columns[2:])


def _urgency(series: SeriesReport) -> tuple[int, float]:
    place = _ORDER.index(series.status) if series.status in _ORDER else len(_ORDER)
    return place, -(series.psi or 0.0)
