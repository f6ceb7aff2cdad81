"""A monitoring profile: for every series of a version, which counter a value belongs to.

A *series* is one watched distribution: a feature, the norm or one dimension of a vector feature, the
prediction, a classifier's probability. Its counters (*slots*) are decided once, from the baseline. Counts are
comparable only over equal bins, so the digest of the profile is part of every counter key.

==========  ===================================================================
numeric     one slot per bin, ``low`` (below the baseline's range), ``high``
boolean     ``false``, ``true``
category    one slot per top category, ``other`` (known, rarer), ``unknown``
==========  ===================================================================

followed by ``missing`` (NULL or not found), ``expired`` and ``invalid`` (wrong type, infinite).
After the slots of the last series comes one counter of rows.

A value belongs to bin ``i`` when ``cuts[i-1] < value <= cuts[i]``. A cut lies half-way between two
neighbouring values of the baseline, so a value rounded by float32 or JSON is counted where the exact one is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from pydantic import Field, ValidationError, model_validator

from neuralstream_core.errors import Invalid
from neuralstream_core.types import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from neuralstream_core.registry.records import FeatureRef, VersionRecord

__all__ = [
    "PREDICTION",
    "SCORE",
    "Profile",
    "ProfileCache",
    "Series",
    "bare_profile",
    "category_text",
    "feature_series",
    "prediction_series",
]

BINS: Final = 20
"""Quantile bins of a numeric series."""
TOP_CATEGORIES: Final = 20
"""Categories with a counter of their own."""
MAX_CATEGORIES: Final = 1000
"""Categories a profile remembers at all; a baseline with more cannot tell ``unknown`` from ``other``."""
MAX_DIMENSIONS: Final = 16
"""Dimensions of a vector that are watched one by one (evenly spread over a longer vector)."""
DIMENSION_BINS: Final = 4
"""Quartiles: a summary of a dimension; the norm has the full `BINS`."""

PREDICTION: Final = -1
"""`Series.source` of the prediction."""
SCORE: Final = -2
"""`Series.source` of a classifier's probability."""

Type: TypeAlias = Literal["numeric", "boolean", "category"]

_LONG_CATEGORY: Final = 128
_MAX_KEPT: Final = 256
_STATES: Final = ("missing", "expired", "invalid")
_TYPES: Final[Mapping[str, Type]] = {"bool": "boolean", "string": "category"}


class Series(Record):
    """One watched distribution; see the module's text for the order of the slots."""

    name: str
    """``view:feature`` or ``view@role:feature``, ``view:emb[3]`` for a dimension, ``prediction`` or
    ``probability``."""
    kind: Literal["feature", "dimension", "prediction"]
    type: Type
    source: int
    """Place in the version's features, or `PREDICTION`, or `SCORE`."""
    component: int | None = None
    """Of a vector feature: the dimension, or -1 for the Euclidean norm."""
    cuts: tuple[float, ...] = ()
    low: float | None = None
    """Values below are outside the baseline's range (a rounding slack is already taken off)."""
    high: float | None = None
    categories: tuple[str, ...] = ()
    rare: tuple[str, ...] = ()
    """Known categories without a counter of their own."""
    closed: bool = True
    """Every category of the baseline is listed, so anything else is ``unknown``."""
    novel: int = 0
    """Baseline values that would be unknown or out of range to the rest of the baseline: categories,
    smallest and largest values seen once."""
    reference: tuple[int, ...] | None = None
    """The baseline's count in each slot; ``None`` when the version has no baseline for it."""

    @model_validator(mode="after")
    def _consistent(self) -> Series:
        if any(a >= b for a, b in pairwise(self.cuts)):
            raise ValueError(f"{self.name}: cuts must increase")
        if self.reference is not None and len(self.reference) != self.size:
            raise ValueError(f"{self.name}: {len(self.reference)} counts for {self.size} slots")
        return self

    @property
    def values(self) -> int:
        """Slots of values, tails and unknown included."""
        match self.type:
            case "numeric":
                return len(self.cuts) + 3
            case "boolean":
                return 2
            case _:
                return len(self.categories) + 2

    @property
    def has_states(self) -> bool:
        """A vector's missing, expired and invalid values are counted with its norm alone."""
        return self.kind != "dimension"

    @property
    def size(self) -> int:
        """All slots."""
        return self.values + (len(_STATES) if self.has_states else 0)

    @property
    def missing_slot(self) -> int:
        """``missing``; ``expired`` and ``invalid`` follow. Only with `has_states`."""
        return self.values

    @cached_property
    def slots_by_category(self) -> dict[str, int]:
        """Slots of the known categories within the series."""
        known = (*self.categories, *self.rare)
        last = len(self.categories)
        return {text: min(i, last) for i, text in reversed(list(enumerate(known)))}

    def category_slot(self, text: str) -> int:
        """The slot of a category within the series."""
        return self.slots_by_category.get(text, len(self.categories) + self.closed)

    def ordered(self, counts: Sequence[int]) -> list[int]:
        """Counts of a numeric series, from those of the lowest values to those of the highest."""
        bins = len(self.cuts) + 1
        return [counts[bins], *counts[:bins], counts[bins + 1]]

    def labels(self) -> Iterator[str]:
        """What each slot means, for a person."""
        match self.type:
            case "numeric":
                ends = ["-inf" if self.low is None else f"{self.low:.6g}"]
                ends += [f"{cut:.6g}" for cut in self.cuts]
                ends += ["inf" if self.high is None else f"{self.high:.6g}"]
                yield from (f"({a}, {b}]" for a, b in pairwise(ends))
                yield f"< {ends[0]}"
                yield f"> {ends[-1]}"
            case "boolean":
                yield from ("false", "true")
            case _:
                yield from self.categories
                yield from ("(other)", "(unknown)")
        if self.has_states:
            yield from _STATES


class Profile(Record):
    """All series of one version, in a fixed order."""

    series: tuple[Series, ...] = Field(max_length=4096)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """First slot of each series, and after the last series the slot that counts rows."""
        return tuple(accumulate((s.size for s in self.series), initial=0))

    @property
    def rows_slot(self) -> int:
        """The slot that counts answered rows."""
        return self.offsets[-1]

    @property
    def size(self) -> int:
        """Counters in all."""
        return self.rows_slot + 1

    def parts(self, slots: NDArray[np.int64]) -> Iterator[tuple[Series, NDArray[np.int64]]]:
        """Each series with its part of ``slots``, which are int64 ``(size,)``."""
        for series, start in zip(self.series, self.offsets[:-1], strict=True):
            yield series, slots[start : start + series.size]

    def to_json(self) -> bytes:
        """Canonical JSON: equal profiles have equal bytes, hence equal digests."""
        body = self.model_dump(mode="json", exclude_defaults=True)
        return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, lower-case hexadecimal."""
        return hashlib.sha256(self.to_json()).hexdigest()

    @classmethod
    def from_json(cls, data: bytes) -> Profile:
        """Read a stored profile.

        Raises:
            Invalid: not a profile.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise Invalid(
                f"not a monitoring profile: {error.errors()[0]['msg']}", code="invalid_profile"
            ) from None


def dimensions_of(size: int) -> tuple[int, ...]:
    """The watched dimensions of a vector of ``size`` elements."""
    if size <= MAX_DIMENSIONS:
        return tuple(range(size))
    return tuple(k * size // MAX_DIMENSIONS for k in range(MAX_DIMENSIONS))


def category_text(value: Any) -> str:
    """A category as its profile spells it; a long text by its hash, so that a profile stays small.

    A boolean is ``true``/``false``; a whole number has no decimal point, whichever type brought it.
    """
    if isinstance(value, str):
        text = value
    elif type(value).__name__ in {"bool", "bool_"}:
        return "true" if value else "false"
    elif isinstance(value, float) and value.is_integer():
        text = str(int(value))
    else:
        text = str(value)
    if len(text) <= _LONG_CATEGORY:
        return text
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def bare_profile(
    features: Sequence[FeatureRef], classes: Sequence[str | int | bool] | None
) -> Profile:
    """Counters for a version without a baseline: no bins for features, fixed bins for predictions.

    Both the writer and the reader of the counters derive it from the version's record alone.

    Args:
        classes: a classifier's classes (`Signature.classes`); ``None`` for a regressor.
    """
    of_features = [feature_series(ref, place) for place, ref in enumerate(features)]
    return Profile(series=(*of_features, *prediction_series(classes)))


def feature_series(ref: FeatureRef, place: int) -> Series:
    """The series of a feature without a baseline; of a vector, that of its norm."""
    return Series(
        name=ref.label,
        kind="feature",
        type=_TYPES.get(ref.dtype, "numeric"),
        source=place,
        component=-1 if ref.size > 1 else None,
        closed=ref.dtype != "string",
    )


def prediction_series(classes: Sequence[str | int | bool] | None) -> tuple[Series, ...]:
    """Series of the prediction without a baseline: of a classifier its classes and twentieths of the
    probability, of a regressor bins between powers of four on both sides of zero."""

    def series(name: str, kind: Type, source: int, **more: Any) -> Series:
        return Series(name=name, kind="prediction", type=kind, source=source, **more)

    if classes is None:
        powers = [2.0**k for k in range(-10, 31, 2)]
        cuts = (*(-power for power in reversed(powers)), 0.0, *powers)
        return (series("prediction", "numeric", PREDICTION, cuts=cuts),)
    known = tuple(category_text(c) for c in classes[:MAX_CATEGORIES])
    closed = len(classes) <= MAX_CATEGORIES
    twentieths = tuple(k / BINS for k in range(1, BINS))
    return (
        series("prediction", "category", PREDICTION, categories=known, closed=closed),
        series("probability", "numeric", SCORE, cuts=twentieths),
    )


class ProfileCache:
    """Stored profiles by digest; immutable, so each is read once per process.

    Args:
        read: `ArtifactStore.get_profile`; its errors pass through.
    """

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._load = lru_cache(_MAX_KEPT)(lambda digest: Profile.from_json(read(digest)))

    def __call__(self, digest: str) -> Profile:
        """The profile ``digest``."""
        return self._load(digest)

    def of(self, version: VersionRecord) -> Sequence[Profile]:
        """Every profile under which a version's rows may have been counted, the present one first.

        A version without a baseline, or before it adopted one, is counted under its bare profile.
        """
        classes = version.signature.classes if version.signature is not None else None
        bare = bare_profile(version.features, classes)
        return [bare] if version.profile is None else [self(version.profile), bare]
