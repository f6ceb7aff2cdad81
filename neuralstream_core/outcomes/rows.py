"""Entries of the prediction log as rows of the history."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple
from zlib import crc32

import numpy as np

from neuralstream_core.errors import Invalid
from neuralstream_core.features._codec import Codec
from neuralstream_core.features.values import MAX_STRING
from neuralstream_core.features.writes import GivenColumns
from neuralstream_core.history.entries import Part
from neuralstream_core.outcomes.ids import PredictionId
from neuralstream_core.outcomes.views import PREDICTIONS, internal_views
from neuralstream_core.time import Micros

__all__ = ["MAX_INPUTS", "PredictionRows"]

_log = logging.getLogger("neuralstream.outcomes")

MAX_INPUTS: Final = 32 * 1024
"""Characters of the inputs of one row as JSON; those of a row that has more are left out."""


class _Decoded(NamedTuple):
    """One entry.

    Attributes:
        request: its id.
        numbers: what the ids of its rows end with; ``None`` of a prediction of its own.
        columns: as `neuralstream_core.outcomes.views` names them.
    """

    request: PredictionId
    numbers: Sequence[int | None]
    columns: dict[str, list[Any]]


class PredictionRows:
    """Makes parts of the history's log.

    Args:
        namespace: of the deployment.
    """

    def __init__(self, namespace: str) -> None:
        self._view = internal_views(namespace)[PREDICTIONS]
        self._codec = Codec(self._view, namespace, 0)

    def parts(self, entries: Iterable[bytes], now: Micros) -> list[Part]:
        """One part for each entry, in order; none for an entry that cannot be read, which is logged.

        An entry always gives the same part, so of one that is appended twice the compaction keeps one.
        """
        decoded: list[_Decoded] = []
        damaged = 0
        for data in entries:
            try:
                decoded.append(_decoded(json.loads(data)))
            except (ValueError, KeyError, TypeError, AttributeError):
                damaged += 1
        try:
            parts = self._packed(decoded, now)
        except Invalid:
            parts = []
            for entry in decoded:
                try:
                    parts += self._packed([entry], now)
                except Invalid:
                    damaged += 1
        if damaged:
            _log.error("%d entries of the prediction log cannot be read", damaged)
        return parts

    def _packed(self, decoded: Sequence[_Decoded], now: Micros) -> list[Part]:
        """A part for each entry.

        Raises:
            Invalid: a value that no row can hold.
        """
        if not decoded:
            return []
        columns: dict[str, list[Any]] = {name: [] for name in self._view.names}
        entities: list[bytes] = []
        for entry in decoded:
            prefix = entry.request.request
            entities += [
                (prefix if number is None else f"{prefix}:{number}").encode()
                for number in entry.numbers
            ]
            for name, column in columns.items():
                column.extend(entry.columns[name])
        times = np.repeat([e.request.at for e in decoded], [len(e.numbers) for e in decoded])
        given = GivenColumns(entities, columns, times)
        # The clock that made the ids may be ahead of this one: no reason to refuse a row.
        rows = given.pack(self._codec, max(now, int(times.max()))).rows
        parts: list[Part] = []
        end = 0
        for entry in decoded:
            start, end = end, end + len(entry.numbers)
            parts.append(self._part(entry, entities[start:end], rows[start:end]))
        return parts

    def _part(self, entry: _Decoded, entities: list[bytes], rows: list[bytes]) -> Part:
        view, request = self._view, entry.request
        # Rows are told apart by their place in the part, so other rows of a request make another part.
        which = crc32(json.dumps(entry.numbers).encode())
        request_id = f"{request.version}:{request.unique}:{which:08x}"
        return Part(view.name, view.generation, view.schema_version, request_id, entities, rows)


def _decoded(entry: dict[str, Any]) -> _Decoded:
    """The columns of an entry.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is none.
    """
    request = PredictionId.parse(entry["id"])
    predictions = entry["p"]
    n = len(predictions)
    nothing = [None] * n
    numbers = entry.get("row", nothing)
    of = entry.get("of", nothing)
    ends = ["" if number is None else f":{number}" for number in numbers]
    columns: dict[str, list[Any]] = {
        "model": [request.model] * n,
        "version": [request.version] * n,
        "label": _labels(predictions),
        "value": [None if isinstance(value, str) else float(value) for value in predictions],
        "probability": entry.get("q", nothing),
        "probabilities": [_listed(row) for row in entry["c"]] if "c" in entry else nothing,
        "entity": entry.get("e", nothing),
        "inputs": [_inputs(entry["n"], row) for row in entry["x"]] if "x" in entry else nothing,
        "weight": [float(entry.get("w", 1.0))] * n,
        "shadow": ["of" in entry] * n,
        "of": [
            None if version is None else f"{request.model}:{version}:{request.unique}{end}"
            for version, end in zip(of, ends, strict=True)
        ],
    }
    if n == 0 or {n} != {len(numbers), *map(len, columns.values())}:
        raise ValueError("columns of an entry differ in length")
    return _Decoded(request, numbers, columns)


def _labels(values: Sequence[Any]) -> list[str | None]:
    if len(set(map(type, values))) == 1 and not isinstance(values[0], float):
        texts = {value: _label(value) for value in set(values)}  # a few classes, many rows
        return [texts[value] for value in values]
    return [_label(value) for value in values]


def _label(value: Any) -> str | None:
    """The text of a label; a number that is not whole is none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if isinstance(value, float) else str(value)


def _listed(probabilities: Sequence[float]) -> str | None:
    """Probabilities as a JSON list; ``None`` if they are too long."""
    text = json.dumps(probabilities, separators=(",", ":"))
    return text if len(text) <= MAX_STRING else None


def _inputs(names: Sequence[str], values: Sequence[Any]) -> str | None:
    """The inputs of a row as JSON by name, NaN as null; ``None`` if they are too long."""
    row = dict(zip(names, map(_finite, values), strict=True))
    text = json.dumps(row, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= MAX_INPUTS else None


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(element) for element in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value
