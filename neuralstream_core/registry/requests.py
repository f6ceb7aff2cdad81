"""What the registry's routes take, besides the body that registers a version (``registration``)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from neuralstream_core.registry.rules import ANY, MAX_SPLIT
from neuralstream_core.types import (
    Bounded,
    Description,
    Frozen,
    Reason,
    Tags,
    VersionName,
)

__all__ = [
    "ArchiveRequest",
    "GateSpec",
    "ModelEdit",
    "PromoteRequest",
    "RollbackRequest",
    "SplitRequest",
    "VersionEdit",
]


class RollbackRequest(Frozen):
    reason: Reason | None = None
    expected_production: VersionName | None = None
    """Refuse unless this version (``null``: none) is in production; not checked when left out."""

    @property
    def expected(self) -> str | None:
        return self.expected_production if "expected_production" in self.model_fields_set else ANY


class PromoteRequest(RollbackRequest):
    stage: Literal["production", "staging"] = "production"
    """``staging`` takes an archived version back."""


class ArchiveRequest(Frozen):
    reason: Reason | None = None


class SplitRequest(Frozen):
    split: Annotated[dict[VersionName, float], Field(min_length=1, max_length=MAX_SPLIT)]
    reason: Reason | None = None


class GateSpec(Frozen):
    """Bounds of a metric, both inclusive; at least one."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is greater than max")
        return self


class _Edit(Frozen):
    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.changes():
            raise ValueError("nothing to change")
        return self

    def changes(self) -> dict[str, Any]:
        """The fields to set, as a record takes them."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class ModelEdit(_Edit):
    """The body of ``PATCH /models/{name}``; what is left out stays."""

    description: Annotated[Description, Bounded] | None = None
    tags: Annotated[Tags, Bounded] | None = None
    require: (
        Annotated[
            dict[
                Annotated[str, StringConstraints(pattern=r"^metrics\.[A-Za-z0-9_./@-]{1,128}$")],
                GateSpec,
            ],
            Field(max_length=50),
        ]
        | None
    ) = None


class VersionEdit(_Edit):
    """The body of ``PATCH /models/{name}/versions/{version}``; what is left out stays."""

    description: Annotated[Description, Bounded] | None = None
    tags: Annotated[Tags, Bounded] | None = None
