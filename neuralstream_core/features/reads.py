"""What a read of many entities of one view asks for and finds, by row and by column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from neuralstream_core.errors import NotFound
from neuralstream_core.features.rows import Entity, Row
from neuralstream_core.features.schema import FeatureView

if TYPE_CHECKING:
    from neuralstream_core.features.block import Block

__all__ = ["Entities", "ManyColumns", "ManyRows"]

Entities: TypeAlias = "Sequence[Entity] | Callable[[FeatureView], Sequence[Entity]]"
"""Whose rows are read; what names them may depend on the view."""


class ManyRows(NamedTuple):
    """Rows of one view.

    Attributes:
        view: as it was read.
        entities: whose rows.
        rows: in the order of ``entities``; ``None`` for one never written.
        missing: a row of NOT_FOUND, which stands for such an entity.
    """

    view: FeatureView
    entities: Sequence[Entity]
    rows: list[Row | None]
    missing: Row

    @property
    def only(self) -> Row:
        """The row of a read of one entity.

        Raises:
            NotFound: it was never written.
        """
        if (row := self.rows[0]) is None:
            raise NotFound(f"view {self.view.name} has no such entity", code="entity_not_found")
        return row


class ManyColumns(NamedTuple):
    """Columns of one view.

    Attributes:
        view: as it was read.
        entities: whose cells, one per row.
        block: the cells; an entity never written is a row of NOT_FOUND.
    """

    view: FeatureView
    entities: Sequence[Entity]
    block: Block
