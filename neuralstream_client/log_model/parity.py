"""Comparison of a model's own answers with those that would be served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from neuralstream_client.log_model.answers import Answers, joined
from neuralstream_client.log_model.errors import ConversionError, WorstRow
from neuralstream_client.log_model.probes import Probe
from neuralstream_client.log_model.served import Served
from neuralstream_client.log_model.sources import Source
from neuralstream_client.log_model.table import Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Compared", "Rule", "asked", "compare", "orders_labels", "scale_of"]

_NAMED: Final = 5


@dataclass(frozen=True)
class Rule:
    """What may differ.

    Attributes:
        tolerance: absolute for probabilities; for other numbers relative to the larger of the expected
            number and ``scale``.
        scale: the size of the model's numbers on its data: of its prediction, and of its scores.
        scores: whether the numbers beside the labels are compared.
    """

    tolerance: float
    scale: tuple[float, float]
    scores: bool


@dataclass(frozen=True)
class Compared:
    """What a comparison found.

    Attributes:
        rows: how many were compared.
        ties: rows with another label whose two best classes are equal within the tolerance.
        largest: the largest difference of a number, as the tolerance measures it.
        worst: rows beyond the tolerance, the worst first; at most five of them.
        failed: how many are beyond it.
    """

    group: str
    rows: int
    ties: int
    largest: float
    failed: int
    worst: tuple[WorstRow, ...]


def asked(source: Source, rows: Table) -> tuple[Answers | None, NDArray[np.intp]]:
    """The model's own answers, and the rows it has one for: it may refuse a value that others do not."""
    try:
        return source.answer(rows.source() if source.own else rows), np.arange(len(rows))
    except Exception:  # noqa: BLE001 - whatever a library raises for a value that it does not take
        if len(rows) == 1:
            return None, np.arange(0)
    half = len(rows) // 2
    parts = [asked(source, rows.take(np.arange(*ends))) for ends in ((0, half), (half, len(rows)))]
    answers = [answer for answer, _ in parts if answer is not None]
    kept = np.concatenate([parts[0][1], parts[1][1] + half])
    return (joined(answers) if answers else None), kept


def scale_of(answers: Answers) -> tuple[float, float]:
    """The size of a model's predictions and of its scores: mean plus spread of their absolute values."""

    def size(numbers: Any) -> float:
        if numbers is None or numbers.dtype.kind != "f":
            return 1.0
        known = np.abs(numbers[np.isfinite(numbers)])
        return float(known.mean() + known.std()) if known.size else 1.0

    return size(answers.prediction), size(answers.numbers)


def orders_labels(served: Answers, classes: tuple[Any, ...] | None) -> bool:
    """Whether a classifier's numbers order its classes as its labels do; otherwise they are not answered."""
    if served.numbers is None or classes is None:
        return False
    width = served.numbers.shape[1]
    if width != (len(classes) if len(classes) > 2 or width == 2 else 1):
        return False
    best = (
        (served.numbers[:, 0] > 0).astype(np.intp) if width == 1 else served.numbers.argmax(axis=1)
    )
    ordered = np.sort(np.abs(served.numbers) if width == 1 else served.numbers, axis=1)
    clear = ordered[:, -1] > 1e-6 if width == 1 else ordered[:, -1] - ordered[:, -2] > 1e-6
    told = [classes[place] for place in best[clear]]
    return bool(told == served.prediction[clear].tolist())


def compare(
    served: Served, source: Source, probe: Probe, expected: Answers, rule: Rule
) -> Compared:
    """Compare the served answers for a probe with the model's own.

    Raises:
        ConversionError: the export does not run, or does not answer as this kind of model.
    """
    got = served.answers(probe.rows, source)
    if got.prediction.shape != expected.prediction.shape:
        raise ConversionError(
            f"the export answers the shape {got.prediction.shape}, the model {expected.prediction.shape}"
        )
    sizes, ties = _predictions(source, expected, got, rule)
    labels = sizes.copy()
    labels[~np.isfinite(sizes)] = 0.0
    largest = labels
    if rule.scores and expected.numbers is not None:
        numbers = _numbers(source, expected.numbers, got.numbers, rule)
        sizes = np.maximum(sizes, numbers)
        largest = np.maximum(largest, np.where(np.isfinite(numbers), numbers, 0.0))
    bad = np.flatnonzero(sizes > 1.0)
    ranked = _distinct(probe.rows, bad[np.argsort(-sizes[bad], kind="stable")])
    worst = tuple(
        WorstRow(
            probe.group,
            probe.rows.row(int(row)),
            _told(expected, int(row)),
            _told(got, int(row)),
            float(sizes[row]),
        )
        for row in ranked
    )
    return Compared(
        probe.group,
        len(probe.rows),
        ties,
        float(largest.max(initial=0.0)) * rule.tolerance,
        len(bad),
        worst,
    )


def _distinct(rows: Table, ranked: NDArray[np.intp]) -> list[int]:
    """The first rows that are not equal to one before."""
    found: dict[str, int] = {}
    for row in ranked.tolist():
        found.setdefault(repr(rows.row(row)), row)
        if len(found) == _NAMED:
            break
    return list(found.values())


def _predictions(
    source: Source, expected: Answers, got: Answers, rule: Rule
) -> tuple[NDArray[np.float64], int]:
    """Per row, how far the predictions are apart in units of the tolerance; and the number of ties."""
    if expected.prediction.dtype.kind == "f":
        wide = expected.prediction.reshape(len(expected.prediction), -1)
        return _apart(wide, got.prediction.reshape(wide.shape), rule.tolerance, rule.scale[0]), 0
    differ = np.array(
        [one != other for one, other in zip(expected.prediction, got.prediction, strict=True)],
        np.bool_,
    )
    tied = _tied(source, expected.numbers, rule)
    return np.where(differ & ~tied, np.inf, 0.0), int((differ & tied).sum())


def _numbers(source: Source, expected: Any, got: Any, rule: Rule) -> Any:
    if got is None:
        raise ConversionError("the export answers labels without the numbers that the model gives")
    if source.meaning == "probability" or source.meaning == "logits":
        if expected.shape[1] == 2 and got.shape[1] == 1:
            got = np.column_stack([1.0 - got[:, 0], got[:, 0]])
        return _same_width(expected, got, rule.tolerance, None)
    if expected.shape[1] == 1:
        got = got[:, -1:]
    return _same_width(expected, got, rule.tolerance, rule.scale[1])


def _same_width(expected: Any, got: Any, tolerance: float, scale: float | None) -> Any:
    if expected.shape != got.shape:
        raise ConversionError(
            f"the export gives {got.shape[1]} numbers beside a label, the model {expected.shape[1]}"
        )
    return _apart(expected, got, tolerance, scale)


def _apart(expected: Any, got: Any, tolerance: float, scale: float | None) -> NDArray[np.float64]:
    """The largest difference of each row in units of the tolerance; infinite where only one is finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        unit = 1.0 if scale is None else np.maximum(np.abs(expected), scale or 1.0)
        difference = np.abs(expected - got) / unit / tolerance
    same = (np.isnan(expected) & np.isnan(got)) | (expected == got)
    difference = np.where(same, 0.0, np.where(np.isfinite(difference), difference, np.inf))
    made: NDArray[np.float64] = difference.max(axis=1, initial=0.0)
    return made


def _tied(source: Source, numbers: Any, rule: Rule) -> Any:
    """Rows whose label rounding may decide: the model's two best classes are equal within the tolerance."""
    if numbers is None:
        return np.bool_(False)
    allowed = rule.tolerance * (1.0 if source.meaning == "probability" else max(1.0, rule.scale[1]))
    if numbers.shape[1] == 1:
        middle = 0.5 if source.meaning == "probability" else 0.0
        return np.asarray(np.abs(numbers[:, 0] - middle) <= allowed)
    ordered = np.sort(numbers, axis=1)
    gap = ordered[:, -1] - ordered[:, -2]
    if source.kind == "clusterer" and source.meaning == "score":
        gap = ordered[:, 1] - ordered[:, 0]
    return np.asarray(gap <= 2 * allowed)


def _told(answers: Answers, row: int) -> Any:
    prediction = answers.prediction[row]
    plain = prediction.tolist() if isinstance(prediction, np.ndarray) else prediction
    if isinstance(plain, np.generic):
        plain = plain.item()
    if answers.numbers is None:
        return plain
    return [plain, *answers.numbers[row].tolist()]
