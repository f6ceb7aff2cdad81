"""Why a model was not uploaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from neuralstream_client.errors import NeuralStreamError

__all__ = ["ConversionError", "LogModelError", "ParityError", "WorstRow"]


class LogModelError(NeuralStreamError):
    """A model cannot be served as it is; the message says what to change."""


class ConversionError(LogModelError):
    """The model has no ONNX form that the installed converters can make."""


@dataclass(frozen=True, slots=True)
class WorstRow:
    """A row whose served answer is not the model's.

    Attributes:
        group: where the row comes from: ``data``, ``nulls``, ``range``, ``thresholds``, ``unseen``, ``far``.
        inputs: the values by column; ``None`` is a missing one.
        difference: in units of the tolerance; infinite for another label or an answer that is not finite.
    """

    group: str
    inputs: dict[str, Any]
    expected: Any
    served: Any
    difference: float

    def __str__(self) -> str:
        cells = ", ".join(f"{name}={_short(value)}" for name, value in self.inputs.items())
        return f"[{self.group}] {cells}: expected {_short(self.expected)}, served {_short(self.served)}"


class ParityError(LogModelError):
    """The model as it would be served does not give the answers of the model as it was trained.

    Attributes:
        family: the model's class.
        rows: the worst rows, the worst first.
        failed, compared: how many rows differ, of how many.
        cure: what to change for models of this family.
    """

    def __init__(
        self, family: str, rows: Sequence[WorstRow], failed: int, compared: int, cure: str
    ) -> None:
        self.family = family
        self.rows = tuple(rows)
        self.failed = failed
        self.compared = compared
        self.cure = cure
        told = "\n".join(f"  {row}" for row in self.rows)
        super().__init__(
            f"{family}: {failed} of {compared} rows are served with another answer than the model "
            f"gives; nothing was uploaded. The worst:\n{told}\nWhat to do: {cure}"
        )


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.9g}"
    if isinstance(value, list):
        return "[" + ", ".join(_short(one) for one in value[:6]) + (", …]" if value[6:] else "]")
    return repr(value)[:60]
