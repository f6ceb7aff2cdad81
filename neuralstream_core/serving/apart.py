"""Infer many rows so that one whose values exceed a bound does not take the others with it.

All rows go to the model at once. When that fails, the first row is tried alone, to learn how long a
row takes, then the halves of the others, and so on, until the rows that fail are alone or the time is
used up. A model whose memory grows with the rows is served in parts that fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final, TypeAlias

import numpy as np

from neuralstream_core.errors import Invalid
from neuralstream_core.runtimes import Predictions
from neuralstream_core.serving.deadline import Deadline

__all__ = ["infer_apart"]

_FIRST_SHARE: Final = 1 / 5
"""Of the time there is, what the first run, with all rows, may take."""
_PART_SHARE: Final = 1 / 10
"""The same for each run of a part, and less once a part has shown how long its rows take."""
_PATIENCE: Final = 20
"""How many times as long as the rows of the largest part that was answered."""
_LEAST_SECONDS: Final = 0.2

Run: TypeAlias = "Callable[[Mapping[str, np.ndarray], float], Predictions]"
"""`neuralstream_core.runtimes.Runtime.run`, or what does more with its answer."""


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
    pace, paced = 0.0, 0  # seconds a row, and of how many rows that was learned
    # The last is tried first, so that answers come in order.
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
        if paced:
            allowed = min(allowed, max(_LEAST_SECONDS, _PATIENCE * pace * (stop - start)))
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
            if stop - start >= paced:
                pace, paced = (monotonic() - begun) / (stop - start), stop - start
    return _joined(done), failed


def _joined(parts: list[Predictions]) -> Predictions | None:
    if not parts:
        return None
    scores = [part.scores for part in parts if part.scores is not None]
    return Predictions(
        np.concatenate([part.values for part in parts]),
        np.concatenate(scores) if len(scores) == len(parts) else None,
    )


def _not_reached(deadline: Deadline) -> Invalid:
    return Invalid(
        f"other rows of the request used up the {deadline.seconds:g} s there are for inference",
        code="inference_timeout",
    )
