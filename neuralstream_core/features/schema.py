"""Feature views: what a caller declares, what is kept, and which changes are compatible.

A schema only ever grows at its end. Cell *i* of a row therefore means the same feature in every
schema version, and a row of any version can be read, and merged into, by any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Final, Self

from pydantic import (
    AwareDatetime,
    Field,
    PositiveInt,
    StringConstraints,
    field_validator,
    model_validator,
)

from neuralstream_core.errors import Conflict, FieldError, Invalid
from neuralstream_core.features.references import REQUEST, SERVICE
from neuralstream_core.features.values import Dtype, checker
from neuralstream_core.time import Micros
from neuralstream_core.types import MAX_NAME, Description, FeatureValue, Frozen, Name, Record, Tags

__all__ = ["MAX_FEATURES", "RESERVED", "Feature", "FeatureView", "ViewSpec"]

MAX_FEATURES: Final = 1000
MAX_KEYS: Final = 8
MAX_VECTOR: Final = 4096
MAX_WIDTH: Final = 64 * 1024
"""Bytes of the fixed-width part of a row."""
MAX_TTL: Final = 10 * 366 * 86_400
RESERVED: Final = frozenset({"views", REQUEST, SERVICE})
"""No names of new views: one would collide with ``GET /features/views/{name}``, the others with references
to values of a request and to feature services."""

Text = Annotated[str, StringConstraints(max_length=256)]


class Feature(Frozen):
    """One column of a view. ``shape: [n]`` makes it a vector; ``default`` is a value of its dtype."""

    name: Name
    dtype: Annotated[
        Dtype,
        Field(strict=False, description="type of its values; it cannot be changed later"),
    ]
    shape: (
        Annotated[tuple[Annotated[int, Field(ge=1, le=MAX_VECTOR)]], Field(strict=False)] | None
    ) = Field(
        default=None,
        description=f"`[n]`: a vector of n numbers, at most {MAX_VECTOR}; left out: one value",
    )
    description: Description = Field(
        default="", description="for people, at most 2048 characters; say the unit here"
    )
    default: FeatureValue = Field(
        default=None,
        description="value of the dtype that models with `missing: default` get for a missing cell",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.shape is not None and not self.dtype.numeric:
            raise ValueError(f"a vector of {self.dtype} is not supported")
        if self.default is not None:
            try:
                checker(self.dtype, self.size)(self.default)
            except ValueError as error:
                raise ValueError(f"the default {error}") from None
        return self

    @property
    def size(self) -> int | None:
        """Elements of a vector; ``None`` for a scalar."""
        return None if self.shape is None else self.shape[0]

    @property
    def width(self) -> int:
        """Bytes in the fixed-width part of a row."""
        return self.dtype.width * (self.size or 1)


class ViewSpec(Frozen):
    """The body of ``PUT /features/views/{name}``."""

    entity: Annotated[
        Name | Annotated[list[Name], Field(min_length=1, max_length=MAX_KEYS)],
        Field(description="the entity's key, or several keys of a composite entity"),
    ]
    features: Annotated[list[Feature], Field(min_length=1, max_length=MAX_FEATURES)] = Field(
        description="the columns in order; a later request may append to them, but neither remove one"
        " nor change its dtype"
    )
    ttl_seconds: Annotated[PositiveInt, Field(le=MAX_TTL)] | None = Field(
        default=None,
        description="seconds after its event timestamp from which a value is EXPIRED, at most ten"
        " years; null: never",
    )
    history: bool = Field(
        default=True,
        description="whether every write is also kept in the history, from which training sets are made and a"
        " lost cache is restored",
    )
    description: Description = Field(default="", description="for people, at most 2048 characters")
    owner: Text = Field(default="", description="person or team, at most 256 characters")
    tags: Tags = Field(default_factory=dict, description="text by key, at most 50")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for what, names in (
            ("feature", [f.name for f in self.features]),
            ("entity key", list(self.keys)),
        ):
            twice = (
                sorted({name for name in names if names.count(name) > 1})
                if (len(set(names)) < len(names))
                else []
            )
            if twice:
                raise ValueError(f"{what} declared twice: {', '.join(twice[:5])}")
        if sum(f.width for f in self.features) > MAX_WIDTH:
            raise ValueError(f"a row would exceed {MAX_WIDTH} bytes of fixed-width values")
        return self

    @property
    def keys(self) -> tuple[str, ...]:
        """The entity's keys, one or several."""
        return (self.entity,) if isinstance(self.entity, str) else tuple(self.entity)


class FeatureView(Record):
    """A view as the catalog keeps it; features are in storage order."""

    name: Name
    keys: tuple[Name, ...]
    features: tuple[Feature, ...]
    ttl_seconds: int | None = None
    history: bool = True
    history_since: Micros = 0
    """When the view began to keep a history, the last time; 0 of a view of a release without histories."""
    history_complete: bool = False
    """Whether every row that is online is in the history too."""
    description: str = ""
    owner: str = ""
    tags: dict[str, str] = Field(default_factory=dict)
    schema_version: int = 1
    generation: str
    """Part of every key of this view's rows: a re-created view of the same name starts empty."""
    revision: int = 1
    created_at: AwareDatetime
    updated_at: AwareDatetime

    @field_validator("features", mode="before")
    @classmethod
    def _known_fields(cls, raw: Any) -> Any:
        """Drop what a newer release may have stored beside a feature's known fields."""
        if not isinstance(raw, list | tuple):
            return raw
        return [
            {k: v for k, v in f.items() if k in Feature.model_fields} if isinstance(f, dict) else f
            for f in raw
        ]

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Position of each feature, by name."""
        return {feature.name: i for i, feature in enumerate(self.features)}

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in storage order."""
        return tuple(self.index)

    @property
    def ttl_micros(self) -> int | None:
        return None if self.ttl_seconds is None else self.ttl_seconds * 1_000_000

    def feature(self, name: str) -> Feature:
        """One feature by name.

        Raises:
            Invalid: the view has no such feature.
        """
        return self.features[self.positions([name])[0]]

    def positions(self, names: list[str] | tuple[str, ...]) -> list[int]:
        """Positions of ``names``.

        Raises:
            Invalid: names each one that the view does not have.
        """
        index = self.index
        try:
            return [index[name] for name in names]
        except KeyError:
            unknown = [(i, n[:MAX_NAME]) for i, n in enumerate(names) if n not in index]
            raise Invalid(
                f"view {self.name} has no feature {', '.join(n for _, n in unknown[:5])}",
                code="unknown_feature",
                errors=[
                    FieldError(f"features.{i}", f"{n} is not a feature of {self.name}")
                    for i, n in unknown[:100]
                ],
            ) from None

    def evolve(self, spec: ViewSpec) -> FeatureView:
        """This view as ``spec`` declares it: features in the order they were first declared, new
        ones at the end under the next schema version. ``revision`` and times are the catalog's.

        Raises:
            Conflict: ``spec`` removes a feature, changes a dtype or shape, or the entity's keys.
        """
        if spec.keys != self.keys:
            raise Conflict(
                f"the entity of view {self.name} is {', '.join(self.keys)} and cannot change",
                code="incompatible_schema",
            )
        wanted = {feature.name: feature for feature in spec.features}
        kept: list[Feature] = []
        for old in self.features:
            new = wanted.pop(old.name, None)
            if new is None:
                raise Conflict(
                    f"feature {old.name} cannot be removed from view {self.name}",
                    code="incompatible_schema",
                )
            if (new.dtype, new.shape) != (old.dtype, old.shape):
                raise Conflict(
                    f"feature {old.name} is {old.dtype}{list(old.shape) if old.shape else ''} "
                    "and cannot change its dtype or shape",
                    code="incompatible_schema",
                )
            kept.append(new)
        features = (*kept, *wanted.values())
        if len(features) > MAX_FEATURES or sum(f.width for f in features) > MAX_WIDTH:
            raise Invalid.at("features", f"more than {MAX_FEATURES} features or {MAX_WIDTH} bytes")
        return self.model_copy(
            update={
                "features": features,
                "ttl_seconds": spec.ttl_seconds,
                "history": spec.history,
                "description": spec.description,
                "owner": spec.owner,
                "tags": dict(spec.tags),
                "schema_version": self.schema_version + bool(wanted),
            }
        )
