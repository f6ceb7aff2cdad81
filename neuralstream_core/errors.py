"""Every error NeuralStream raises on purpose, all of them kinds of `NeuralStreamError`.

``code`` is stable and machine-readable; ``detail`` is one sentence for a person. The mapping to HTTP
lives in one place, ``neuralstream_lambda.problems``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "ArtifactRejected",
    "ConditionFailed",
    "Conflict",
    "FieldError",
    "Forbidden",
    "Invalid",
    "NeuralStreamError",
    "NotFound",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
]


@dataclass(frozen=True, slots=True)
class FieldError:
    """One place in a request that is wrong: ``loc`` is a dotted path such as ``rows.3.features.age``."""

    loc: str
    msg: str


class NeuralStreamError(Exception):
    """Base of all designed errors.

    Args:
        detail: one sentence for a person; never a secret, a feature value or a stack trace.
        code: stable machine-readable code; the class's own when not given.
    """

    code = "error"

    def __init__(self, detail: str, *, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        if code is not None:
            self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is otherwise made again from its positional arguments alone.
        return _made_again, (type(self), vars(self))


def _made_again(kind: type[NeuralStreamError], state: dict[str, Any]) -> NeuralStreamError:
    error = kind.__new__(kind, state["detail"])
    vars(error).update(state)
    return error


class Invalid(NeuralStreamError):
    """The request cannot be accepted; ``errors`` names each place that is wrong. Nothing was changed."""

    code = "invalid"

    def __init__(
        self, detail: str, *, code: str | None = None, errors: Iterable[FieldError] = ()
    ) -> None:
        super().__init__(detail, code=code)
        self.errors: Sequence[FieldError] = tuple(errors)

    @classmethod
    def at(cls, loc: str, msg: str, *, code: str | None = None) -> Invalid:
        """An error with exactly one place."""
        return cls(f"{loc}: {msg}", code=code, errors=[FieldError(loc, msg)])


class ArtifactRejected(Invalid):
    """The artifact failed inspection, loading or its trial run; ``detail`` is the reason."""

    code = "artifact_rejected"


class NotFound(NeuralStreamError):
    """A named thing does not exist."""

    code = "not_found"


class Conflict(NeuralStreamError):
    """The request contradicts the present state; nothing was changed."""

    code = "conflict"


class ConditionFailed(Conflict):
    """The condition of a write did not hold; callers retry or turn it into another `Conflict`."""

    code = "condition_failed"


class TooLarge(NeuralStreamError):
    """A size limit is exceeded."""

    code = "too_large"


class Unauthenticated(NeuralStreamError):
    """No credential, or one that is not known."""

    code = "unauthenticated"


class Forbidden(NeuralStreamError):
    """The credential is known but may not do this."""

    code = "forbidden"


class Unavailable(NeuralStreamError):
    """A dependency is down or too slow; the request can be sent again later.

    Args:
        dependency: ``"redis"``, ``"registry"``, ``"artifacts"``, …
        retry_after: seconds after which a retry is worth it.
    """

    code = "unavailable"

    def __init__(self, detail: str, *, dependency: str, retry_after: int = 1) -> None:
        super().__init__(detail, code=f"{dependency}_unavailable")
        self.dependency = dependency
        self.retry_after = retry_after
