"""Latency in logarithmic buckets: fixed memory, percentiles within 1.1 % (DDSketch, Masson et al. 2019).

A bucket spans a factor γ = 2^(1/32). The value reported for it, ``2·lower·γ/(γ+1)``, is off by at most
(γ-1)/(γ+1) = 1.083 %. Three scales lie side by side in one string of 22-bit counters (at most 4.19 million
per bucket and hour):

=========  ====================  =========================================
total      10 µs - 62 s          722 buckets, all of width γ
features   10 µs - 1.31 s - 84 s 544 of width γ, then 12 half-octaves
inference  the same              the same
=========  ====================  =========================================

Beyond 1.31 s the parts are within 17 % only; with that a version's hour stays within 8 KB. A duration outside
a scale counts in its nearest bucket. See docs/decisions/0012-latency-buckets.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["BASE", "BITS", "PARTS", "SCALES", "Scale", "mean", "quantile"]

BASE: Final = 10e-6
"""Seconds: the lower end of every scale."""
FINE: Final = 32
"""Buckets per octave of width γ."""
COARSE: Final = 2
"""Buckets per octave beyond them."""
BITS: Final = 22
"""Width of one counter."""
PARTS: Final = ("total", "features", "inference")


@dataclass(frozen=True, slots=True)
class Scale:
    """Buckets of one part.

    Attributes:
        first: index of its first bucket in the string.
        fine: number of buckets of width γ; ``coarse`` half-octaves follow.
    """

    first: int
    fine: int
    coarse: int

    @property
    def size(self) -> int:
        """Number of buckets."""
        return self.fine + self.coarse

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
        lower, upper = (
            BASE * 2 ** (min(place, self.fine) / FINE + max(place - self.fine, 0) / COARSE)
            for place in (bucket, bucket + 1)
        )
        return lower, upper

    def estimate(self, bucket: int) -> float:
        """The duration reported for a bucket, in seconds: equal relative error to both ends."""
        lower, upper = self.bounds(bucket)
        return 2 * lower * upper / (lower + upper)


SCALES: Final = (Scale(0, 722, 0), Scale(722, 17 * FINE, 12), Scale(722 + 556, 17 * FINE, 12))
"""In the order of `PARTS`."""


def quantile(scale: Scale, counts: ArrayLike, q: float) -> float | None:
    """The ``q``-quantile in seconds, or ``None`` without any count.

    The value of rank ``⌈q·n⌉`` in the sorted sample (Hyndman and Fan 1996, type 1).
    """
    upto = np.cumsum(counts)
    rank = max(1, ceil(q * int(upto[-1])))
    return scale.estimate(int(np.searchsorted(upto, rank))) if upto[-1] else None


def mean(scale: Scale, counts: ArrayLike) -> float | None:
    """The mean in seconds of the buckets' estimates (so within the same 1.1 %), or ``None``."""
    k = np.asarray(counts)
    present = k.nonzero()[0]
    seconds = [scale.estimate(bucket) for bucket in present.tolist()]
    return float(np.average(seconds, weights=k[present])) if seconds else None
