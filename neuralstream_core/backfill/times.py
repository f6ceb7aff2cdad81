"""Event times of a file's rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from neuralstream_core.features.values import BadValue, bounded_time, parse_time
from neuralstream_core.serving.batch.cells import RowErrors
from neuralstream_core.serving.cells import RowError
from neuralstream_core.time import Micros, to_micros

__all__ = ["event_times"]

_NAIVE: Final = "must have a zone: add Z or an offset, or give timezone"


def event_times(
    cells: Sequence[Any], column: str, timezone: str | None, now: Micros, errors: RowErrors
) -> npt.NDArray[np.int64]:
    """The time of each row in microseconds; 0 for the rows added to ``errors``.

    Args:
        cells: ISO 8601 texts or ``datetime`` of Parquet.
        column: its name, for reasons.
        timezone: IANA name, for times without a zone; ``None``: these are wrong.
        now: no time may be more than five minutes later.
    """
    zone = None if timezone is None else ZoneInfo(timezone)
    if (found := _all_times(cells, now)) is not None:
        return found
    times = np.zeros(len(cells), np.int64)
    parse = _parser(zone, now)
    known: dict[Any, Micros] = {}  # many rows of a file share one time
    for at, cell in enumerate(cells):
        if cell is None or cell == "":
            errors.setdefault(at, RowError("missing_timestamp", f"{column} is empty or absent"))
            continue
        try:
            time = known.get(cell)
            if time is None:
                time = known[cell] = parse(cell)
        except (BadValue, TypeError) as error:  # a list or an object is no key of a dictionary
            said = str(error) if isinstance(error, BadValue) else "must be an ISO 8601 time"
            errors.setdefault(at, RowError("invalid_timestamp", f"{column}: {said}"))
            continue
        times[at] = time
    return times


def _all_times(cells: Sequence[Any], now: Micros) -> npt.NDArray[np.int64] | None:
    """All times at once; ``None`` if one needs a closer look."""
    try:
        if type(cells[0]) is str:
            cells = list(map(datetime.fromisoformat, cells))
        times = np.fromiter(map(to_micros, cells), np.int64, len(cells))
        bounded_time(int(times.min()), now)
        bounded_time(int(times.max()), now)
    except (TypeError, ValueError, AttributeError, IndexError):
        return None
    return times


def _parser(zone: ZoneInfo | None, now: Micros) -> Callable[[Any], Micros]:
    def parse(cell: Any) -> Micros:
        """Raises:
        BadValue: no time, without a zone where none is given, in the future or out of range.
        """
        moment = cell
        if isinstance(cell, str):
            try:
                moment = datetime.fromisoformat(cell.strip())
            except ValueError:
                return parse_time(cell)  # it says what is wrong
        if isinstance(moment, datetime) and moment.tzinfo is None:
            if zone is None:
                raise BadValue(_NAIVE)
            moment = moment.replace(tzinfo=zone)
        if isinstance(moment, datetime):
            return bounded_time(to_micros(moment), now)
        return parse_time(moment)

    return parse
