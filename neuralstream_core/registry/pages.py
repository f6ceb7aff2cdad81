"""Pages of the registry's listings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

from neuralstream_core.table import Item, Page

__all__ = ["MAX_PAGE", "Listing", "Tag", "carries", "page_of"]

MAX_PAGE: Final = 200
_PAGES_SCANNED: Final = 10

R = TypeVar("R")
Tag: TypeAlias = tuple[str, str | None]
"""A tag's key and, unless any will do, its value."""


class Listing(NamedTuple, Generic[R]):
    """One page: the records and the token of the next page, ``None`` on the last."""

    records: list[R]
    next_token: str | None


def page_of(
    query: Callable[..., Page],
    *,
    read: Callable[[Item], R],
    keep: Callable[[R], bool],
    limit: int,
    token: str | None,
) -> Listing[R]:
    """Up to ``limit`` records that ``keep`` accepts. A page may be shorter without being the last: at most
    `_PAGES_SCANNED` pages of the table are read for one answer."""
    records: list[R] = []
    for _ in range(_PAGES_SCANNED):
        page = query(limit=limit - len(records), token=token)
        records += [record for item in page if keep(record := read(item))]
        token = page.next_token
        if token is None or len(records) == limit:
            break
    return Listing(records, token)


def carries(tags: Mapping[str, str], tag: Tag | None) -> bool:
    """Whether ``tag`` is among a record's tags; always if it is ``None``."""
    if tag is None:
        return True
    key, value = tag
    return key in tags and value in (None, tags[key])
