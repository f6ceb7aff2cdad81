"""Records and documents of every job that takes the rows of a file in: backfills, files of outcomes."""

from __future__ import annotations

from typing import Annotated, Protocol, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints

from neuralstream_core.jobs.rows import RowsJob, RowsPins
from neuralstream_core.serving.batch.locations import InputFormat
from neuralstream_core.types import Record

__all__ = ["ColumnName", "ImportJob", "ImportPlan", "ImportRequest", "ZoneName"]


def _zone_name(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("is not an IANA time zone, such as Europe/Berlin or UTC") from None
    return name


ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
ZoneName: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=64), AfterValidator(_zone_name)
]
"""Of an IANA time zone."""


class ImportRequest(Protocol):
    """What every request says about its file."""

    @property
    def input_format(self) -> InputFormat | None: ...
    @property
    def output(self) -> str | None: ...


class ImportJob(RowsJob):
    """A job that takes the rows of a file in."""

    input_format: InputFormat = Field(description="of the input")
    timezone: str | None = Field(default=None, description="of times without a zone")


class ImportPlan(Record):
    """What all chunks have in common.

    Attributes:
        columns: of a CSV or Parquet input, in file order.
        timezone: of times without a zone.
    """

    input: str
    input_format: InputFormat
    output: str
    pins: RowsPins
    columns: tuple[str, ...]
    timezone: str | None
