"""Which version answers for an entity.

Every entity has one of 10,000 buckets: ``blake2b`` (8 bytes, keyed by model and salt) of its id, modulo
10,000. A split owns all buckets between its versions; who owns which is an *allocation*, a run-length
list ``((version, buckets), …)`` in bucket order.

The first allocation is cumulative in numeric version order. A later one is made from the one before:
a version that shrinks gives up its highest buckets, those that grow share them out in version order.
So an entity moves only out of a version that shrank into one that grew, and the moved share is exactly
half the sum of the weight changes, which is the least possible. No function of the weights alone can do
that for three versions, so the allocation is stored with the model. Without a stored one the cumulative
order is used, which is already minimal for two versions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final, TypeAlias

import numpy as np

from neuralstream_core.features.rows import Entity
from neuralstream_core.registry.records import ModelRecord, number_of

__all__ = [
    "BUCKETS",
    "MAX_VERSIONS",
    "Allocation",
    "Assigner",
    "allocate",
    "allocation_in_force",
]

BUCKETS: Final = 10_000
MAX_VERSIONS: Final = 100

Allocation: TypeAlias = tuple[tuple[str, int], ...]
"""Runs of buckets: ``(("v1", 9000), ("v2", 1000))``; the counts sum to 10,000."""


def allocation_in_force(model: ModelRecord) -> Allocation | None:
    """Buckets of the running split, else all for the production version; ``None`` without either."""
    if model.ab_split is not None:
        return model.allocation or allocate(model.ab_split)
    if model.production_version is not None:
        return ((model.production_version, BUCKETS),)
    return None


def allocate(weights: Mapping[str, float], previous: Allocation | None = None) -> Allocation:
    """Share the buckets out by weight, moving as few as possible away from ``previous``.

    Args:
        weights: version → share; they sum to 1 (within rounding). Zero is allowed.
        previous: the allocation in force; ``(("v1", 10000),)`` when one version has everything.

    Raises:
        ValueError: no weight, too many versions, or a weight below zero.
    """
    wanted = _counts(weights)
    order = sorted(wanted, key=number_of)
    owner = np.full(BUCKETS, -1, dtype=np.int16)
    if previous is not None:
        at = 0
        for version, count in previous:
            if version in wanted:
                owner[at : at + count] = order.index(version)
            at += count
        for index, version in enumerate(order):
            held = np.flatnonzero(owner == index)
            owner[held[wanted[version] :]] = -1
    free = np.flatnonzero(owner < 0)
    given = 0
    for index, version in enumerate(order):
        more = wanted[version] - int(np.count_nonzero(owner == index))
        owner[free[given : given + more]] = index
        given += more
    return tuple((order[index], len(list(run))) for index, run in groupby(owner.tolist()))


def _counts(weights: Mapping[str, float]) -> dict[str, int]:
    """Whole buckets per version by largest remainder; ties go to the older version."""
    total = sum(weights.values())
    if not 0 < len(weights) <= MAX_VERSIONS or total <= 0 or min(weights.values()) < 0:
        raise ValueError("a split needs positive weights of at most 100 versions")
    # rounded to a millionth of a bucket, so that 0.1 + 0.2 and 0.3 give the same counts
    exact = {version: round(weight / total * BUCKETS, 6) for version, weight in weights.items()}
    counts = {version: int(share) for version, share in exact.items()}
    by_remainder = sorted(exact, key=lambda v: (counts[v] - exact[v], number_of(v)))
    for version in by_remainder[: BUCKETS - sum(counts.values())]:
        counts[version] += 1
    return counts


class Assigner:
    """Answers "which version?" for one model at one allocation; immutable and safe to share."""

    __slots__ = ("_hash", "_only", "_table", "versions")

    def __init__(self, model: str, salt: str, allocation: Allocation) -> None:
        self.versions: tuple[str, ...] = tuple(
            sorted({version for version, count in allocation if count}, key=number_of)
        )
        self._only = self.versions[0] if len(self.versions) == 1 else None
        self._table = b"".join(
            bytes([self.versions.index(version)]) * count for version, count in allocation if count
        )
        if len(self._table) != BUCKETS:
            raise ValueError(f"an allocation covers {BUCKETS} buckets, not {len(self._table)}")
        name = model.encode()
        key = hashlib.blake2b(
            len(name).to_bytes(4, "little") + name + salt.encode(), digest_size=32
        )
        self._hash = hashlib.blake2b(key=key.digest(), digest_size=8)

    def bucket(self, entity: Entity) -> int:
        """The entity's bucket, 0 … 9999."""
        state = self._hash.copy()
        state.update(_bytes(entity))
        return int.from_bytes(state.digest(), "little") % BUCKETS

    def one(self, entity: Entity) -> str:
        """The version that answers for ``entity``."""
        if self._only is not None:
            return self._only
        return self.versions[self._table[self.bucket(entity)]]

    def many(self, entities: Sequence[Entity]) -> np.ndarray:
        """Index into `versions` for each entity, ``(n,)``; the same answers as `one`."""
        if self._only is not None:
            return np.zeros(len(entities), dtype=np.intp)
        fresh = self._hash.copy
        digests: list[bytes] = []
        add = digests.append
        for entity in entities:
            state = fresh()
            state.update(entity.encode() if isinstance(entity, str) else _bytes(entity))
            add(state.digest())
        buckets = np.frombuffer(b"".join(digests), dtype="<u8") % BUCKETS
        owners: np.ndarray = np.frombuffer(self._table, dtype=np.uint8)[buckets].astype(np.intp)
        return owners


def _bytes(entity: Entity) -> bytes:
    """The id as bytes; the parts of a composite one are preceded by their lengths."""
    if isinstance(entity, str):
        return entity.encode()
    parts = [part.encode() for part in entity]
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)
