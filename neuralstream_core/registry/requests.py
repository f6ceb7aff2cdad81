"""What the registry's routes take, besides the body that registers a version (``registration``)."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

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

WHY: Final = "for the audit trail, at most 1024 characters"
ABOUT: Final = "for people, at most 2048 characters; in place of the present one"
TAGS: Final = "text by key, at most 50; in place of the present ones"


class RollbackRequest(Frozen):
    """The optional body of ``POST /models/{name}/rollback``."""

    reason: Reason | None = Field(default=None, description=WHY)
    expected_production: VersionName | None = Field(
        default=None,
        description="answer 409 unless this version (null: none) is in production; not checked when"
        " left out",
    )

    @property
    def expected(self) -> str | None:
        return self.expected_production if "expected_production" in self.model_fields_set else ANY


class PromoteRequest(RollbackRequest):
    """The optional body of ``POST /models/{name}/promote/{version}``."""

    stage: Literal["production", "staging"] = Field(
        default="production", description="`staging` takes an archived version back"
    )


class ArchiveRequest(Frozen):
    """The optional body of ``POST /models/{name}/versions/{version}/archive``."""

    reason: Reason | None = Field(default=None, description=WHY)


class SplitRequest(Frozen):
    """The body of ``POST /models/{name}/ab-split``."""

    split: Annotated[dict[VersionName, float], Field(min_length=1, max_length=MAX_SPLIT)] = Field(
        description="weight by version, each from 0 to 1, together 1; at most 20 versions"
    )
    reason: Reason | None = Field(default=None, description=WHY)


class GateSpec(Frozen):
    """Bounds of a metric, both inclusive; at least one."""

    min: float | None = Field(default=None, description="least value allowed")
    max: float | None = Field(default=None, description="greatest value allowed")

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is greater than max")
        return self


class _Edit(Frozen):
    description: Annotated[Description, Bounded] | None = Field(default=None, description=ABOUT)
    tags: Annotated[Tags, Bounded] | None = Field(default=None, description=TAGS)

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

    require: (
        Annotated[
            dict[
                Annotated[str, StringConstraints(pattern=r"^metrics\.[A-Za-z0-9_./@-]{1,128}$")],
                GateSpec,
            ],
            Field(max_length=50),
        ]
        | None
    ) = Field(
        default=None,
        description="bounds by metric (`metrics.auc`) that a version must keep to be promoted, in place"
        " of the present ones; `{}` removes them; at most 50",
    )


class VersionEdit(_Edit):
    """The body of ``PATCH /models/{name}/versions/{version}``; what is left out stays."""
