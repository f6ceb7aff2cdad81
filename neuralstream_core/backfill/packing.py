"""Rows that write different features, packed pattern by pattern and put back into their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from neuralstream_core.errors import Unavailable
from neuralstream_core.features.writes import Batch

__all__ = ["Packed", "Pattern", "joined", "patterns"]


class Pattern(NamedTuple):
    """Rows that write the same features.

    Attributes:
        places: of the rows.
        written: whether each feature is written.
    """

    places: npt.NDArray[np.int64]
    written: npt.NDArray[np.bool_]


class Packed(NamedTuple):
    """A batch, and the place that each of its rows came from."""

    batch: Batch
    places: list[int]


def patterns(written: npt.NDArray[np.bool_]) -> Iterator[Pattern]:
    """The patterns of rows.

    Args:
        written: by row and feature.
    """
    if written.all():
        if len(written):
            yield Pattern(np.arange(len(written)), np.ones(written.shape[1], np.bool_))
        return
    masks, which = np.unique(written, axis=0, return_inverse=True)
    for number, mask in enumerate(masks):
        yield Pattern(np.flatnonzero(which.reshape(-1) == number), mask)


def joined(packed: Sequence[Packed]) -> Packed:
    """All rows in the order of their places: of equal event times the later row wins.

    Args:
        packed: at least one, of one view.

    Raises:
        Unavailable: the view was changed meanwhile; try again.
    """
    if len(packed) == 1:
        return packed[0]
    first = packed[0].batch
    if any(each.batch.codec is not first.codec for each in packed):
        raise Unavailable(
            f"view {first.codec.view.name} was changed just now",
            dependency="registry",
            retry_after=1,
        )
    places = [place for each in packed for place in each.places]
    order = sorted(range(len(places)), key=places.__getitem__)
    batch = first.extended([each.batch for each in packed[1:]])
    return Packed(batch.only(order), [places[at] for at in order])
