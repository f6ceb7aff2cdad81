"""The features that a registration lists."""

from __future__ import annotations

from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic import StringConstraints as Text

from neuralstream_core.features.listing import MAX_LISTED
from neuralstream_core.features.references import (
    REFERENCE_PATTERN,
    FeatureReference,
    Reference,
    ServiceReference,
    parse_reference,
)
from neuralstream_core.types import Bounded, FeatureValue, Frozen

__all__ = ["FeatureSpec", "ListedFeatures"]

_DTYPES: Final = ("float32", "float64", "int64", "bool", "string", "timestamp")


class FeatureSpec(Frozen):
    """One model input, or those of a feature service; a plain ``"view:feature"`` means this with nothing else
    set."""

    feature: Annotated[
        str,
        Text(pattern=REFERENCE_PATTERN),
        Field(
            description="`view:feature`; `view@role:feature` for one of several entities; `request:name` for"
            " a value sent with the request; or `service:name@2` for all features of a feature service"
        ),
    ]
    default: Annotated[FeatureValue, Bounded] = Field(
        default=None,
        description="what the model gets for a missing cell under `missing: default`; the view's own"
        " default unless given",
    )
    dtype: str | None = Field(
        default=None,
        description=f"of a request-time value, one of {', '.join(_DTYPES)}; float64 unless given. A"
        " view's features have theirs",
    )
    size: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        default=None, description="elements of a request-time vector, at most 4096; 1 unless given"
    )

    @model_validator(mode="after")
    def _request_only(self) -> Self:
        if self.dtype is not None and self.dtype not in _DTYPES:
            raise ValueError(f"dtype is one of {', '.join(_DTYPES)}")
        named = self.reference
        if isinstance(named, ServiceReference) and self.default is not None:
            raise ValueError("a default is of one feature; the views of a service have theirs")
        sent = isinstance(named, FeatureReference) and named.view is None
        if not sent and (self.dtype is not None or self.size is not None):
            raise ValueError(
                "dtype and size come from the view; they may only be set for request:…"
            )
        return self

    @property
    def reference(self) -> Reference:
        """What ``feature`` refers to."""
        return parse_reference(self.feature)


def _spec(value: Any) -> Any:
    return {"feature": value} if isinstance(value, str) else value


def _list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


_Listed = Annotated[
    list[Annotated[FeatureSpec, BeforeValidator(_spec, json_schema_input_type=str | FeatureSpec)]],
    Field(max_length=MAX_LISTED),
]
ListedFeatures = Annotated[_Listed, BeforeValidator(_list, json_schema_input_type=str | _Listed)]
"""Features by reference, or with what a reference does not say; one text is a list of it."""
