"""The cells of one row: what a request gives, and what stands in for what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neuralstream_core.errors import FieldError, Invalid, Unavailable
from neuralstream_core.features.rows import Status
from neuralstream_core.serving.plan import Plan, missing_features, typed

__all__ = ["fallback", "filled", "first_output", "overrides"]

_NOT_FOUND = int(Status.NOT_FOUND)


def overrides(plan: Plan, features: Mapping[str, Any], feature_view: str | None) -> dict[int, Any]:
    """A request's own values by place, checked against the dtype of what they stand for.

    Raises:
        Invalid: names every value that is wrong.
    """
    given: dict[int, Any] = {}
    errors: list[FieldError] = []
    code: str | None = None
    for name, value in features.items():
        try:
            place = plan.place(name, feature_view)
            given[place] = None if value is None else typed(plan.features[place])(value)
        except Invalid as error:
            errors += error.errors
            code = error.code
        except ValueError as error:
            errors.append(FieldError(f"features.{name}", str(error)))
    if errors:
        raise Invalid(f"{errors[0].loc}: {errors[0].msg}", code=code, errors=errors)
    return given


def first_output(prediction: Any) -> Any:
    """What monitoring follows of a model with several outputs: the first."""
    return prediction[0] if type(prediction) is list else prediction


def filled(plan: Plan, values: Sequence[Any], status: Sequence[int]) -> list[Any]:
    """The row with its missing cells as the policy has them.

    Raises:
        Invalid: one is missing that must not be.
    """
    filled = list(values)
    for place, cell in enumerate(status):
        if cell:
            fill = plan.fill[place]
            if fill is None:
                raise missing_features(plan, status)
            filled[place] = fill[0]
    return filled


def fallback(plan: Plan, error: Unavailable, needed: Sequence[int]) -> tuple[list[Any], list[int]]:
    """Blank cells to be filled by declared defaults, or the store's own error."""
    if error.dependency != "redis" or not plan.defaulted(needed):
        raise error
    count = len(plan.features)
    return [None] * count, [_NOT_FOUND] * count
