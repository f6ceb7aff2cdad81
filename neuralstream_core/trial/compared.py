"""Comparison of a version's answers with the expected ones of its check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from neuralstream_core.errors import ArtifactRejected, FieldError
from neuralstream_core.registry.records import Checked, Signature
from neuralstream_core.registry.registration import Check
from neuralstream_core.runtimes import Predictions
from neuralstream_core.serving.outputs import Answers

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["compare"]

_NAMED: Final = 10
"""Rows that a refusal names, the worst first."""
_IN_DETAIL: Final = 3


class _Miss(NamedTuple):
    """One answer beyond the tolerance; ``size`` is infinite for another label."""

    size: float
    field: str
    row: int
    expected: Any
    got: Any


def compare(signature: Signature, answers: Answers, trial: Predictions, check: Check) -> Checked:
    """What the check found.

    Raises:
        ArtifactRejected: ``check_failed`` names the worst rows; ``invalid_check``: the expected
            answers are not of this model's form.
    """
    comparison = _Comparison(signature, check.tolerance, trial)
    for row in np.flatnonzero(~answers.good).tolist():
        given = check.expected.prediction[row]
        comparison.misses.append(_Miss(np.inf, "prediction", row, given, "no finite answer"))
    comparison.predictions(check.expected.prediction, answers)
    for field, expected, got in (
        ("probability", check.expected.probability, answers.probability),
        ("score", check.expected.score, answers.score),
    ):
        if expected is not None:
            comparison.numbers(field, expected, got, answers)
    if comparison.misses:
        raise _refused(comparison.misses, check)
    return Checked(
        rows=check.rows,
        tolerance=check.tolerance,
        max_difference=comparison.largest,
        ties=comparison.ties,
    )


class _Comparison:
    def __init__(self, signature: Signature, tolerance: float, trial: Predictions) -> None:
        self._signature = signature
        self._tolerance = tolerance
        self._raw = trial.scores if trial.scores is not None else trial.values
        self.misses: list[_Miss] = []
        self.largest = 0.0
        self.ties = 0

    def predictions(self, expected: list[Any], answers: Answers) -> None:
        """Labels must be equal unless the scores tie; numbers within the tolerance."""
        got = answers.prediction.tolist()
        numeric = answers.prediction.dtype.kind == "f" and self._signature.classes is None
        for row, (want, have) in enumerate(zip(expected, got, strict=True)):
            if not answers.good[row]:
                continue
            if numeric:
                self._number("prediction", row, want, have, relative=True)
            elif _label(want, have) != have or isinstance(want, bool) != isinstance(have, bool):
                if self._tied(row):
                    self.ties += 1
                else:
                    self.misses.append(_Miss(np.inf, "prediction", row, want, have))

    def numbers(
        self,
        field: str,
        expected: list[float | list[float]],
        got: NDArray[np.float64] | None,
        answers: Answers,
    ) -> None:
        """Probabilities or scores: the answered one of each row, or those of all classes."""
        if got is None:
            kind = "score" if field == "probability" else "probability"
            meant = self._signature.scores
            hint = (
                f"; its numbers are answered as {kind}" if meant in ("score", "probability") else ""
            )
            raise _invalid(f"expected.{field}", f"the model answers no {field}{hint}")
        relative = field == "score"
        for row, want in enumerate(expected):
            if not answers.good[row]:
                continue
            if isinstance(want, list):
                have = self._of_row(answers, row, got)
                if len(want) != len(have):
                    raise _invalid(
                        f"expected.{field}.{row}", f"has {len(want)} numbers, not {len(have)}"
                    )
                for one, other in zip(want, have, strict=True):
                    self._number(field, row, one, other, relative=relative)
            else:
                self._number(field, row, want, float(got[row]), relative=relative)

    def _of_row(self, answers: Answers, row: int, got: NDArray[np.float64]) -> list[float]:
        if answers.by_class is not None:
            numbers: list[float] = answers.by_class[row].tolist()
            return numbers
        if answers.probability is not None and self._signature.classes is not None:
            return [1.0 - float(got[row]), float(got[row])]
        own: list[float] = self._raw[row].tolist()
        return own

    def _number(self, field: str, row: int, want: Any, have: Any, *, relative: bool) -> None:
        if isinstance(want, list) and isinstance(have, list) and len(want) == len(have):
            for one, other in zip(want, have, strict=True):
                self._number(field, row, one, other, relative=relative)
            return
        if isinstance(want, bool) or not isinstance(want, int | float) or isinstance(have, list):
            width = len(have) if isinstance(have, list) else 1
            raise _invalid(
                f"expected.{field}.{row}",
                "must be a number" if width == 1 else f"must be a list of {width} numbers",
            )
        difference = abs(float(want) - float(have))
        if relative:
            difference /= max(1.0, abs(float(want)))
        self.largest = max(self.largest, difference)
        if difference > self._tolerance:
            self.misses.append(_Miss(difference, field, row, want, have))

    def _tied(self, row: int) -> bool:
        """Whether the scores of the two best labels are equal within the tolerance."""
        if self._signature.scores in (None, "ignored"):
            return False
        numbers = np.sort(np.asarray(self._raw[row], np.float64).reshape(-1))
        if len(numbers) == 1:
            middle = 0.5 if self._signature.scores == "probability" else 0.0
            return abs(float(numbers[0]) - middle) <= self._tolerance
        best = numbers[:2] if self._signature.kind == "clusterer" else numbers[-2:]
        return float(best[1] - best[0]) <= self._tolerance * max(1.0, abs(float(best[1])))


def _label(want: Any, have: Any) -> Any:
    """A whole number as JSON may write it (``1.0``) as the integer label that it stands for."""
    if isinstance(want, float) and isinstance(have, int) and want.is_integer():
        return int(want)
    return want


def _refused(misses: list[_Miss], check: Check) -> ArtifactRejected:
    worst: dict[int, _Miss] = {}
    for miss in misses:
        known = worst.get(miss.row)
        if known is None or miss.size > known.size:
            worst[miss.row] = miss
    ranked = sorted(worst.values(), key=lambda miss: (-miss.size, miss.row))
    flips = sum(1 for miss in ranked if miss.size == np.inf)
    told = "; ".join(
        f"row {m.row}: {m.field} expected {_short(m.expected)}, got {_short(m.got)}"
        for m in ranked[:_IN_DETAIL]
    )
    labels = f" ({flips} with another label)" if flips else ""
    return ArtifactRejected(
        f"{len(ranked)} of the {check.rows} rows of the check differ by more than "
        f"{check.tolerance:g}{labels}: {told}",
        code="check_failed",
        errors=[
            FieldError(
                f"check.expected.{m.field}.{m.row}",
                f"expected {_short(m.expected)}, got {_short(m.got)}",
            )
            for m in ranked[:_NAMED]
        ],
    )


def _short(value: Any) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)[:64]


def _invalid(loc: str, why: str) -> ArtifactRejected:
    return ArtifactRejected(
        f"check.{loc}: {why}", code="invalid_check", errors=[FieldError(f"check.{loc}", why)]
    )
