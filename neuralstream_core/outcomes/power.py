"""How large a difference a test can find by now, and when it will find one of a given size.

A difference δ is found with the given probability once ``δ ≥ √S · (radius + z)``, with ``z`` the quantile
of that probability: then the interval of `neuralstream_core.outcomes.sequences` leaves zero at that very
look. It may have left it earlier, so what is promised here is kept more often.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from neuralstream_core.outcomes.intervals import normal_quantile
from neuralstream_core.outcomes.sequences import ALPHA, LEAST, radius

if TYPE_CHECKING:
    from neuralstream_core.outcomes.sequences import Difference

__all__ = ["POWER", "detectable", "needed"]

POWER: Final = 0.9
_MOST: Final = 1e12
"""Outcomes: a difference that needs more counts as out of reach."""


def detectable(seen: Difference, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """The smallest true difference that by now is found with probability ``power``.

    ``None`` where the losses have no variance yet.
    """
    return _detectable_at(seen, 1.0, alpha, power) if seen.information else None


def needed(
    seen: Difference, effect: float, alpha: float = ALPHA, power: float = POWER
) -> int | None:
    """How many outcomes of both versions together a true difference of ``effect`` needs.

    Each version is supposed to keep its share of them. ``None`` where the losses have no variance yet, or
    more than 10¹² are needed.

    Args:
        effect: in the unit of the losses; its sign does not matter.
    """
    size = abs(effect)
    if not seen.information or not size:
        return None
    low, high = math.log(1e-9), math.log(_MOST / seen.n)
    if high <= low or _detectable_at(seen, math.exp(high), alpha, power) > size:
        return None
    for _ in range(80):
        middle = (low + high) / 2
        if _detectable_at(seen, math.exp(middle), alpha, power) > size:
            low = middle
        else:
            high = middle
    return max(math.ceil(seen.n * math.exp(high)), 2 * LEAST)


def _detectable_at(seen: Difference, times: float, alpha: float, power: float) -> float:
    """The smallest difference with ``times`` as many outcomes as now."""
    reach = radius(seen.information * times, alpha) + normal_quantile(power)
    return seen.error / math.sqrt(times) * reach
