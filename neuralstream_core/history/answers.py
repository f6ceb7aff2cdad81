"""The history of one entity as JSON has it, and the token that asks for its next page."""

from __future__ import annotations

import base64
import re
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from neuralstream_core.errors import Invalid
from neuralstream_core.features.answers import EntityAnswer, ViewName
from neuralstream_core.features.entity import entity_json
from neuralstream_core.features.values import Dtype
from neuralstream_core.history.rows import EntityPage, EntityRow, Place
from neuralstream_core.time import from_micros, iso
from neuralstream_core.types import NEXT_PAGE, FeatureValue, Record

__all__ = ["EntityHistoryAnswer", "HistoryRow", "WriteSource", "place_of"]

WriteSource: TypeAlias = Literal["write", "backfill", "adoption", "message"]
_BACKFILL: Final = re.compile(r"job-[0-9a-v]{26}/[0-9]+/[0-9]{5,10}")
_ADOPTION: Final = re.compile(r"job-[0-9a-v]{26}/[0-9]+/[0-9a-f]{16}")
_WRITE: Final = re.compile(r".+/[0-9a-f]{8}")
_INT64: TypeAlias = Annotated[int, Field(ge=-(2**63), lt=2**63)]
_TOKEN: Final = TypeAdapter(tuple[_INT64, _INT64, str, _INT64])


class HistoryRow(Record):
    """What one write said of an entity."""

    event_timestamp: AwareDatetime = Field(description="of its values, UTC")
    written_at: AwareDatetime = Field(description="when the write was kept in the history, UTC")
    features: dict[str, FeatureValue] = Field(
        description="value by feature of those that the write names; null where it wrote NULL"
    )
    schema_version: int = Field(description="of the view, when it was written")
    source: WriteSource = Field(
        description="`write`: `POST /features/write`; `backfill` and `adoption`: such a job; `message`: a"
        " queue or a stream"
    )
    request_id: str = Field(
        description="of a write its `x-request-id`, `/` and eight digits; of a job its id, `/` and a place;"
        " of a message its id"
    )


class EntityHistoryAnswer(Record):
    """A page of the rows that were written of an entity."""

    feature_view: ViewName
    entity_id: EntityAnswer
    rows: list[HistoryRow] = Field(
        description="newest event time first, and of equal ones the one that counts first; may be fewer than"
        " `limit`, or none, though there are more pages"
    )
    next_token: str | None = Field(default=None, description=NEXT_PAGE)

    @classmethod
    def of(cls, page: EntityPage) -> EntityHistoryAnswer:
        """The answer with a page."""
        times = {f.name for f in page.view.features if f.dtype is Dtype.TIMESTAMP}
        return cls(
            feature_view=page.view.name,
            entity_id=entity_json(page.entity),
            rows=[_row(row, times) for row in page.rows],
            next_token=None if page.next is None else _token(page.next),
        )


def place_of(token: str | None) -> Place | None:
    """Where a page goes on.

    Raises:
        Invalid: no token of a history.
    """
    if token is None:
        return None
    try:
        return Place(*_TOKEN.validate_json(base64.urlsafe_b64decode(token.encode()), strict=True))
    except (ValueError, ValidationError):  # not base64, or not ours
        raise Invalid.at(
            "next_token", "not a token of this listing", code="invalid_token"
        ) from None


def _token(place: Place) -> str:
    return base64.urlsafe_b64encode(_TOKEN.dump_json(place)).decode()


def _row(row: EntityRow, times: set[str]) -> HistoryRow:
    values: dict[str, Any] = {
        name: iso(value) if name in times and value is not None else value
        for name, value in row.values.items()
    }
    return HistoryRow(
        event_timestamp=from_micros(row.place.event_time),
        written_at=from_micros(row.place.write_time),
        features=values,
        schema_version=row.schema_version,
        source=_source(row.place.request_id),
        request_id=row.place.request_id,
    )


def _source(request_id: str) -> WriteSource:
    if _BACKFILL.fullmatch(request_id):
        return "backfill"
    if _ADOPTION.fullmatch(request_id):
        return "adoption"
    return "write" if _WRITE.fullmatch(request_id) else "message"
