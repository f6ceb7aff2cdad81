"""Entries of the prediction log: what is kept of the answers of one request, as compact JSON.

Columns of as many values as the entry has rows; what no row has is left out::

    {"id": "churn:v2:01JC…",  id of the request, see `neuralstream_core.outcomes.ids`
     "row": [0, 3],           what the ids of the rows end with; left out for a prediction of its own
     "p": [true, false],      label or value
     "q": [0.9, 0.2],         probability as answered
     "c": [[…], […]],         probabilities by class, with three or more classes
     "e": ["u1", "u2"],       text of the entity, see `entity_text`
     "n": ["user:age"],       labels of the inputs
     "x": [[41], [17]],       the inputs
     "w": 2.0,                how many predictions each row stands for, if more than one
     "of": ["v1", "v1"]}      of a shadow: the versions that answered the request's rows

Packing is on the way of every prediction, so the JSON encoder does it; `neuralstream_core.outcomes.rows`
makes rows of the history of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import numpy as np
from pydantic_core import to_json

from neuralstream_core.monitoring.observation import LogEntry
from neuralstream_core.time import to_micros

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.features.rows import Entity

__all__ = ["MAX_ENTRY", "LoggedRows", "entity_text", "packed", "packed_one", "sampled"]

MAX_ENTRY: Final = 64 * 1024
"""Bytes of an entry of several rows. One row alone may have more: of its entity and its inputs."""
_ROWS: Final = 256
"""Rows of an entry."""


@dataclass(slots=True)
class LoggedRows:
    """Answers of one version to one request, ``n`` of them.

    Attributes:
        request: id of the request.
        numbers: what the ids of the rows end with, ``n``; ``None`` for a prediction of its own.
        predictions: labels or values.
        probability: as answered, or ``None``.
        by_class: probabilities of every class, or ``None`` with fewer than three classes.
        entities: texts; ``None`` where a row has none.
        names, inputs: labels of the model's inputs and, for each row, what the model saw; empty for a model
            whose inputs are not logged.
        weight: how many predictions each row stands for.
        of: of a shadow, the version that answered each row; the shadow's ids have the same ULID and ends.
    """

    request: str
    numbers: Sequence[int] | None
    predictions: Sequence[Any]
    probability: Sequence[float] | None = None
    by_class: Sequence[Sequence[float]] | None = None
    entities: Sequence[str | None] | None = None
    names: Sequence[str] = ()
    inputs: Sequence[Sequence[Any]] = ()
    weight: float = 1.0
    of: Sequence[str] | None = None


def packed(rows: LoggedRows) -> list[LogEntry]:
    """The entries of some rows, each of a bounded size."""
    n = len(rows.predictions)
    found: list[LogEntry] = []
    for start in range(0, n, _ROWS):
        found += _pieces(rows, start, min(start + _ROWS, n))
    return found


def packed_one(
    request: str,
    prediction: Any,
    probability: float | None,
    entity: str | None,
    weight: float = 1.0,
) -> list[LogEntry]:
    """What `packed` makes of one prediction without further columns, in a quarter of the time."""
    entry: dict[str, Any] = {"id": request, "p": [prediction]}
    if probability is not None:
        entry["q"] = [probability]
    if entity is not None:
        entry["e"] = [entity]
    if weight != 1.0:
        entry["w"] = weight
    return [LogEntry(to_json(entry, fallback=_plain), 1)]


def sampled(unique: str, numbers: NDArray[np.int64], sample: float) -> NDArray[np.bool_]:
    """Which of the rows are in the sample: by a hash of their ids, so always the same.

    Args:
        unique: the ULID of the request.
        numbers: what the ids of the rows end with; -1 for a prediction of its own.
        sample: share of the rows, 0 to 1.
    """
    # SplitMix64's finalizer (Steele, Lea, Flood 2014), over the request's checksum and the row.
    word = np.uint64(crc32(unique.encode()) << 32) + numbers.astype(np.uint64)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    kept: NDArray[np.bool_] = (word ^ (word >> np.uint64(31))) < np.uint64(int(sample * 2**63) * 2)
    return kept


def entity_text(entity: Entity | None) -> str | None:
    """An entity as prediction log and outcomes name it: its id, or the JSON list of a composite one's ids."""
    if entity is None or isinstance(entity, str):
        return entity
    return json.dumps(list(entity), ensure_ascii=False, separators=(",", ":"))


def _pieces(rows: LoggedRows, start: int, end: int) -> Iterator[LogEntry]:
    """The rows ``[start, end)``, in halves where they are too large together; inputs that are too large by
    themselves are left out."""
    data = _encoded(rows, start, end)
    if len(data) > MAX_ENTRY and end - start == 1:
        data = _encoded(replace(rows, inputs=()), start, end)
    if len(data) <= MAX_ENTRY or end - start == 1:
        yield LogEntry(data, end - start)
        return
    middle = (start + end) // 2
    yield from _pieces(rows, start, middle)
    yield from _pieces(rows, middle, end)


def _encoded(rows: LoggedRows, start: int, end: int) -> bytes:
    entry: dict[str, Any] = {"id": rows.request}
    if rows.numbers is not None:
        entry["row"] = rows.numbers[start:end]
    entry["p"] = rows.predictions[start:end]
    for name, column in (
        ("q", rows.probability),
        ("c", rows.by_class),
        ("e", rows.entities),
        ("x", rows.inputs),
        ("of", rows.of),
    ):
        if column:
            entry[name] = column[start:end]
    if rows.inputs:
        entry["n"] = rows.names
    if rows.weight != 1.0:
        entry["w"] = rows.weight
    return _dumps(entry).encode()


def _plain(value: Any) -> Any:
    """numpy's scalars and arrays as Python's; a time as its microseconds; never an error."""
    if isinstance(value, datetime):
        return to_micros(value)
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)


_dumps = json.JSONEncoder(separators=(",", ":"), default=_plain, check_circular=False).encode
