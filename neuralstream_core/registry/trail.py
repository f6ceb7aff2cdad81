"""How a model's traffic was split, read back from its audit trail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from neuralstream_core.registry.events import EventRecord
from neuralstream_core.registry.records import EVENT, from_item, model_key
from neuralstream_core.registry.registry import Registry
from neuralstream_core.time import Micros, to_micros

__all__ = ["Phase", "last_split", "newest_events"]


class Phase(NamedTuple):
    """A time in which a split did not change.

    Attributes:
        start, end: ``[start, end)`` in microseconds; ``end`` is ``None`` where it goes on.
        weights: share of the traffic by version; sums to 1.
        production: the production version.
    """

    start: Micros
    end: Micros | None
    weights: dict[str, float]
    production: str | None


def newest_events(registry: Registry, model: str) -> Iterator[EventRecord]:
    """The audit trail of a model backwards, page by page as it is asked for.

    Raises:
        Unavailable: the table cannot be reached.
    """
    partition, token = model_key(registry.namespace, model), None
    while True:
        page = registry.table.query(partition, prefix=EVENT, token=token, newest_first=True)
        yield from (from_item(EventRecord, item) for item in page)
        if (token := page.next_token) is None:
            return


def last_split(registry: Registry, model: str) -> list[Phase]:
    """The phases of the split that runs, or else of the last one that ran, the oldest first; none if the
    model never had one.

    A split begins when the traffic was not split before, and goes on while its weights or versions change.

    Raises:
        Unavailable: the table cannot be reached.
    """
    states: list[EventRecord] = []
    end: Micros | None = None
    for event in newest_events(registry, model):
        if event.ab_split is not None:
            states.append(event)
        elif states:
            break
        else:
            end = to_micros(event.at)  # of an earlier event still, until one with a split is found
    states.reverse()
    found: list[Phase] = []
    for event in states:
        at, weights = to_micros(event.at), dict(event.ab_split or {})
        if found and (found[-1].weights, found[-1].production) == (
            weights,
            event.production_version,
        ):
            continue
        if found:
            found[-1] = found[-1]._replace(end=at)
        found.append(Phase(at, end, weights, event.production_version))
    return found
