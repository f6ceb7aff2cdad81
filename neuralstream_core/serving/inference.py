"""Inference within limits of time, memory and size of the answer; of many rows one bad row fails alone.

The memory fits a function of 1,769 MiB: what Python and the libraries take (about 200), `CACHE` for the
models that are loaded, `RUN` for the one run at a time, and the rest for requests and answers. What does
not fit is refused when it is registered (`neuralstream_core.trial.child`).

All rows go to the model at once. When that fails, the first row is run alone, to learn how long a
row takes, then the halves of the others, and so on, until each failing row is alone or the time is
used up. A model whose memory grows with the number of rows is thereby served in parts that fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic
from typing import Final, TypeAlias

import numpy as np

from neuralstream_core.errors import Invalid, TooLarge
from neuralstream_core.registry.records import Footprint
from neuralstream_core.runtimes import Bounds, Predictions, concatenated
from neuralstream_core.serving.cells import RowError, null_cells
from neuralstream_core.serving.outputs import not_finite
from neuralstream_core.serving.predictions import Group

__all__ = [
    "CACHE",
    "LOAD_SECONDS",
    "MAX_VALUES",
    "REGISTRATION_LOAD_SECONDS",
    "RUN",
    "Deadline",
    "Limits",
    "check_values",
    "ending_in",
    "infer_apart",
    "infer_group",
]

_MIB: Final = 1024 * 1024

CACHE: Final = 700 * _MIB
"""Bytes of all loaded models together, and so of the largest one."""
RUN: Final = 512 * _MIB
"""Bytes a run may allocate."""
_RUN_AT_LEAST: Final = 256 * _MIB
_RUN_FACTOR: Final = 8
LOAD_SECONDS: Final = 6.0
"""Wall-clock time to load a model while a request waits; below the 10 s of the predict function."""
REGISTRATION_LOAD_SECONDS: Final = 4.0
"""Processor time a model may take to load when it is registered: less, so that it loads later, too."""
MAX_VALUES: Final = 2_000_000
"""Values beyond which no JSON text fits Lambda's 6 MB: each takes a digit and ``, ``."""

_ends: ContextVar[float | None] = ContextVar("ends", default=None)
"""When this invocation ends, on the clock of `time.monotonic`."""

_FIRST_SHARE: Final = 1 / 5
"""Share of the time left that the first run, with all rows, may take."""
_PART_SHARE: Final = 1 / 10
"""Share of the whole time that each later run may take; less once the time per row is known."""
_PATIENCE: Final = 20
"""How many times the known time per row a run may take."""
_LEAST_SECONDS: Final = 0.2

Run: TypeAlias = "Callable[[Mapping[str, np.ndarray], float], Predictions]"
"""`neuralstream_core.runtimes.Runtime.run` or a wrapper of it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds of inference, below the timeout of the function that each is for.

    Attributes:
        one: an entity.
        tensors: the tensors of a V2 request.
        rows: the rows of a batch request, all runs together.
        job: the rows of a job's chunk that one version answers, all runs together.
    """

    one: float = 2.0
    tensors: float = 3.0
    rows: float = 15.0
    job: float = 600.0

    def bounds(self, footprint: Footprint | None) -> Bounds:
        """The bounds a version is loaded with; a run may allocate several times what its trial took."""
        took = RUN if footprint is None else _RUN_FACTOR * footprint.run
        return Bounds(LOAD_SECONDS, self.one, min(RUN, max(_RUN_AT_LEAST, took)))


def check_values(count: int) -> None:
    """Refuse an answer of ``count`` numbers or labels that could not be sent, before its text is made.

    Raises:
        TooLarge: they are more than `MAX_VALUES`.
    """
    if count > MAX_VALUES:
        raise TooLarge(
            f"the answer would hold {count} values, at most {MAX_VALUES} can be sent; ask for fewer rows "
            "in one request, or write the answers to files: POST /predict/{model}/batch",
            code="answer_too_large",
        )


@contextmanager
def ending_in(seconds: float) -> Iterator[None]:
    """Within this context no `Deadline` lasts longer than ``seconds`` from now, the end of the invocation."""
    before = _ends.set(monotonic() + seconds)
    try:
        yield
    finally:
        _ends.reset(before)


@dataclass(frozen=True, slots=True)
class Deadline:
    """``seconds`` from `begin`, shared by all runs that one request needs."""

    seconds: float
    at: float

    @classmethod
    def begin(cls, seconds: float) -> Deadline:
        """``seconds`` from now, or fewer if the invocation ends before."""
        now, ends = monotonic(), _ends.get()
        if ends is not None:
            seconds = max(0.0, min(seconds, ends - now))
        return cls(seconds, now + seconds)

    def left(self) -> float:
        """Seconds; negative when it is over."""
        return self.at - monotonic()


def infer_apart(
    run: Run, inputs: Mapping[str, np.ndarray], deadline: Deadline
) -> tuple[Predictions | None, dict[int, Invalid]]:
    """Infer ``n`` rows.

    Args:
        inputs: as for `Runtime.run`; at least one row.

    Returns:
        The predictions of the rows that have one, in order (``None`` when no row has), and the errors
        of the others by row.
    """
    n = len(next(iter(inputs.values())))
    try:
        return run(inputs, max(_LEAST_SECONDS, deadline.left() * _FIRST_SHARE)), {}
    except Invalid as error:
        if n == 1:
            return None, {0: error}
    done: list[Predictions] = []
    failed: dict[int, Invalid] = {}
    row_seconds, measured = 0.0, 0  # time per row, and in a run of how many rows it was measured
    # A stack: popped from the end, so that the answers are in order.
    waiting = (
        [(n // 2, n), (1, n // 2), (0, 1)] if n > 3 else [(row, row + 1) for row in range(n)][::-1]
    )
    while waiting:
        start, stop = waiting.pop()
        left = deadline.left()
        if left <= 0:
            failed.update(dict.fromkeys(range(start, stop), _not_reached(deadline)))
            continue
        allowed = deadline.seconds * _PART_SHARE
        if measured:
            allowed = min(allowed, max(_LEAST_SECONDS, _PATIENCE * row_seconds * (stop - start)))
        part = {name: tensor[start:stop] for name, tensor in inputs.items()}
        begun = monotonic()
        try:
            done.append(run(part, min(left, allowed)))
        except Invalid as error:
            if stop - start == 1:
                failed[start] = error
            else:
                middle = (start + stop) // 2
                waiting += [(middle, stop), (start, middle)]
        else:
            if stop - start >= measured:
                row_seconds, measured = (monotonic() - begun) / (stop - start), stop - start
    return (concatenated(done) if done else None), failed


def _not_reached(deadline: Deadline) -> Invalid:
    return Invalid(
        f"other rows of the request used up the {deadline.seconds:g} s there are for inference",
        code="inference_timeout",
    )


def infer_group(group: Group, errors: dict[int, RowError], deadline: Deadline) -> None:
    """Infer the rows of ``group.good``; those without an answer are added to ``errors``."""
    servable, good = group.servable, group.good
    if not len(good):
        return
    columns, status = group.columns, group.status
    if len(good) < len(group.rows):
        columns, status = [column[good] for column in columns], status[good]
    inputs = servable.bound.columns(columns, null_cells(servable, status))

    def run(part: Mapping[str, np.ndarray], seconds: float) -> Predictions:
        rows = len(next(iter(part.values())))
        return servable.reader.run(servable.runtime, part, rows, seconds)

    predictions, failed = infer_apart(run, inputs, deadline)
    for at, refused in failed.items():
        errors[int(group.rows[good[at]])] = RowError(refused.code, refused.detail)
    group.good = good = np.delete(good, list(failed))
    if predictions is None:
        return
    group.answers = answers = servable.reader.many(predictions)
    bad = not_finite()
    for at in np.flatnonzero(~answers.good).tolist():
        errors[int(group.rows[good[at]])] = RowError(bad.code, bad.detail)
