"""The check of a value that a request gives for one input of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from neuralstream_core.features.values import Dtype, checker
from neuralstream_core.registry.records import FeatureRef

__all__ = ["typed"]


def typed(ref: FeatureRef) -> Callable[[Any], Any]:
    """The check of a value that a request gives for this input: of the view's dtype, nothing coerced.

    The check returns the value and raises ``ValueError`` with a message that never repeats it.
    """
    dtype = Dtype(ref.dtype)
    check = checker(dtype, ref.size if ref.size > 1 else None)
    if dtype is Dtype.STRING:

        def text(value: Any) -> Any:
            check(value)
            return value

        return text
    if ref.size == 1 and dtype.numeric:
        single = checker(dtype, 1)
        return lambda value: single(value)[0] if isinstance(value, list | tuple) else check(value)
    return check
