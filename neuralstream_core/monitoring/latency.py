"""Latency in logarithmic buckets: fixed memory, percentiles within 1.1 % (DDSketch, Masson et al. 2019).

A bucket spans a factor γ = 2^(1/32). Reporting the point ``2·lower·γ/(γ+1)`` of the bucket that holds
a quantile is off by at most (γ-1)/(γ+1) = 1.083 %.

Three scales lie side by side in one string of 22-bit counters:

=========  ====================  =========================================
total      10 µs - 62 s          722 buckets, all of width γ
features   10 µs - 1.31 s - 84 s 544 of width γ, then 12 half-octaves
inference  the same
=========  ====================  =========================================

The parts are coarse only where a part of a request has already lost the race (beyond 1.31 s: within
17 %): that and 22 bits (4.19 million a bucket and hour, then saturated and flagged) keep a version's
hour within its 8 KB. A duration outside a scale counts in its nearest bucket.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log2
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BASE", "BITS", "PARTS", "SCALES", "Scale", "mean", "quantile"]

BASE: Final = 10e-6
"""Seconds: the lower end of every scale."""
FINE: Final = 32
"""Buckets an octave."""
COARSE: Final = 2
BITS: Final = 22
"""Width of one counter."""
PARTS: Final = ("total", "features", "inference")


class Scale:
    """Buckets of one part.

    Args:
        first: index of its first bucket in the string.
        fine: how many buckets have width γ; then come ``coarse`` half-octaves.
    """

    __slots__ = ("coarse", "fine", "first", "size")

    def __init__(self, first: int, fine: int, coarse: int) -> None:
        self.first = first
        self.fine = fine
        self.coarse = coarse
        self.size = fine + coarse

    def bucket(self, seconds: float) -> int:
        """The bucket of a duration, within this scale."""
        if seconds <= BASE:
            return 0
        octaves = log2(seconds / BASE)
        place = int(octaves * FINE)
        if place < self.fine:
            return place
        return min(self.fine + int((octaves - self.fine / FINE) * COARSE), self.size - 1)

    def bounds(self, bucket: int) -> tuple[float, float]:
        """Lower and upper end of a bucket, in seconds."""
        if bucket < self.fine:
            return BASE * 2 ** (bucket / FINE), BASE * 2 ** ((bucket + 1) / FINE)
        start = self.fine / FINE
        step = bucket - self.fine
        return BASE * 2 ** (start + step / COARSE), BASE * 2 ** (start + (step + 1) / COARSE)

    def estimate(self, bucket: int) -> float:
        """The duration reported for a bucket: equal relative error to both ends."""
        lower, upper = self.bounds(bucket)
        return 2 * lower * upper / (lower + upper)


def _scales() -> tuple[Scale, ...]:
    total = Scale(0, 722, 0)
    features = Scale(total.size, 17 * FINE, 12)
    return total, features, Scale(features.first + features.size, 17 * FINE, 12)


SCALES: Final = _scales()
"""In the order of `PARTS`."""


def quantile(scale: Scale, counts: Sequence[int] | NDArray[np.int64], q: float) -> float | None:
    """The ``q``-quantile in seconds, or ``None`` without any count.

    The value of rank ``⌈q·n⌉`` in the sorted sample (Hyndman and Fan 1996, type 1).
    """
    n = int(sum(counts))
    if n == 0:
        return None
    rank = max(1, -int(-q * n // 1))
    seen = 0
    for bucket, k in enumerate(counts):
        seen += int(k)
        if seen >= rank:
            return scale.estimate(bucket)
    raise AssertionError("rank beyond the sample")


def mean(scale: Scale, counts: Iterable[int]) -> float | None:
    """The mean in seconds, from the buckets' estimates (so within the same 1.1 %)."""
    total, n = 0.0, 0
    for bucket, k in enumerate(counts):
        if k:
            total += int(k) * scale.estimate(bucket)
            n += int(k)
    return total / n if n else None
