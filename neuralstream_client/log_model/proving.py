"""Whether an artifact answers as the model it was made from, and what it may be given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from neuralstream_client.log_model.answers import Answers
from neuralstream_client.log_model.errors import LogModelError, WorstRow
from neuralstream_client.log_model.parity import (
    Compared,
    Rule,
    asked,
    compare,
    orders_labels,
    scale_of,
)
from neuralstream_client.log_model.probes import (
    Probe,
    data_rows,
    extreme_rows,
    null_rows,
    split_rows,
)
from neuralstream_client.log_model.served import Served
from neuralstream_client.log_model.sources import Source
from neuralstream_client.log_model.table import Table, concatenated

__all__ = ["Missing", "Proof", "Question", "Questions", "groups", "prove"]

Missing = Literal["error", "null", "default"]

_LOOSE: Final = "far"
_OVERFLOW: Final = 1e38


@dataclass(frozen=True)
class Question:
    """Rows that the model answered, and its answers; ``refused`` more of the probe it did not take."""

    probe: Probe
    expected: Answers
    refused: int


class Questions:
    """What a model itself answers to rows of its data, to missing values and to extremes; asked once.

    Raises:
        LogModelError: it does not answer rows of its own data.
    """

    def __init__(self, source: Source, table: Table) -> None:
        self._source = source
        self._table = table
        gaps = np.any([column.missing for column in table.columns], axis=0)
        self.gaps = [bool(column.missing.any()) for column in table.columns]
        """Per column, whether the data has missing values in it."""
        whole, broken = np.flatnonzero(~gaps), np.flatnonzero(gaps)
        self.data = self._of_data(whole if len(whole) else broken, "data")
        self.broken = self._of_data(broken, "nulls") if len(whole) and len(broken) else None
        self.nulls = self._asked_all(null_rows(table))
        self._whole = table.take(whole if len(whole) else broken)
        self.extremes = [_defined(one) for one in self._asked_all(extreme_rows(self._whole))]

    def splits(self, served: Served) -> Question | None:
        """Rows beside the thresholds of the artifact's trees."""
        splits = served.artifact.splits
        probe = split_rows(
            self._whole, ((served.feature_of(name, at), value) for name, at, value in splits)
        )
        return None if probe is None else self._asked(probe)

    def _of_data(self, rows: Any, group: str) -> Question:
        sample = data_rows(self._table.take(rows))
        found = self._asked(Probe(group, sample.rows))
        if found is None or found.refused == len(sample.rows):
            # Once more, for the library's own reason.
            self._source.answer(sample.rows.source() if self._source.own else sample.rows)
            raise LogModelError("the model answers no row of X")
        return found

    def _asked_all(self, probes: list[Probe]) -> list[Question | None]:
        """Each probe's question, the model being asked once if it takes all rows."""
        everything = concatenated([probe.rows for probe in probes])
        run = self._source.answer
        try:
            answers = run(everything.source() if self._source.own else everything)
        except Exception:  # noqa: BLE001 - whatever a library raises for a value that it does not take
            return [self._asked(probe) for probe in probes]
        found: list[Question | None] = []
        at = 0
        for probe in probes:
            rows = np.arange(at, at + len(probe.rows))
            found.append(Question(probe, answers.take(rows), 0))
            at += len(rows)
        return found

    def _asked(self, probe: Probe) -> Question | None:
        expected, kept = asked(self._source, probe.rows)
        if expected is None:
            return None
        refused = len(probe.rows) - len(kept)
        return Question(Probe(probe.group, probe.rows.take(kept), probe.column), expected, refused)


@dataclass(frozen=True)
class Proof:
    """What was found about one artifact.

    Attributes:
        missing: what serving does with a missing value.
        found: the comparisons that count.
        rule: what they allowed.
        questions: the rows of a check come from these.
    """

    served: Served
    missing: Missing
    rule: Rule
    found: tuple[Compared, ...]
    questions: tuple[Question, ...]
    warnings: tuple[str, ...]

    @property
    def failed(self) -> int:
        return sum(one.failed for one in self.found)

    @property
    def worst(self) -> list[WorstRow]:
        rows = {repr(row.inputs): row for one in reversed(self.found) for row in one.worst}
        return sorted(rows.values(), key=lambda row: -row.difference)[:5]


def prove(
    served: Served, source: Source, questions: Questions, tolerance: float, missing: Missing | None
) -> Proof:
    """Compare an artifact with its model.

    Args:
        missing: as the caller wants it; else ``null`` where the model takes missing values.

    Raises:
        ConversionError: the artifact does not run, or does not answer as the model's kind.
    """
    rule, warnings = _rule(served, source, questions.data, tolerance)

    def compared(question: Question) -> Compared:
        return compare(served, source, question.probe, question.expected, rule)

    found: list[Compared] = [compared(questions.data)]
    used = [questions.data]
    policy, null_questions, told = _missing(served, source, questions, missing, compared)
    warnings += told
    for question in null_questions:
        used.append(question)
        found.append(compared(question))
    extremes = [question for question in questions.extremes if question is not None]
    splits = questions.splits(served)
    if splits is not None:
        extremes.append(splits)
    far: list[WorstRow] = []
    for question in extremes:
        result = compared(question)
        if question.probe.group == _LOOSE and result.failed and not served.artifact.splits:
            far += result.worst
            continue
        used.append(question)
        found.append(result)
    if far:
        warnings.append(f"values far beyond the data are served differently, such as {far[0]}")
    return Proof(served, policy, rule, tuple(found), tuple(used), tuple(warnings))


def _defined(question: Question | None) -> Question | None:
    """The rows far beyond the data for which the model's answer is a number that float32 holds."""
    if question is None or question.probe.group != _LOOSE:
        return question
    answers = (question.expected.prediction, question.expected.numbers)
    finite = np.ones(len(question.probe.rows), np.bool_)
    for values in answers:
        if values is not None and values.dtype.kind == "f":
            finite &= (np.abs(values.reshape(len(values), -1)) < _OVERFLOW).all(axis=1)
    kept = np.flatnonzero(finite)
    if not len(kept):
        return None
    probe = Probe(_LOOSE, question.probe.rows.take(kept), question.probe.column)
    return Question(probe, question.expected.take(kept), question.refused)


def _rule(
    served: Served, source: Source, data: Question, tolerance: float
) -> tuple[Rule, list[str]]:
    warnings: list[str] = []
    scores = data.expected.numbers is not None
    if scores and source.kind == "classifier" and source.meaning == "score":
        got = served.answers(data.probe.rows, source)
        scores = orders_labels(got, source.classes)
        if not scores:
            warnings.append("the export's decision values do not order the classes: not answered")
    return Rule(tolerance, scale_of(data.expected), scores), warnings


def _missing(
    served: Served, source: Source, questions: Questions, wanted: Missing | None, compared: Any
) -> tuple[Missing, list[Question], list[str]]:
    """The policy, the questions about missing values that count under it, and what to tell."""
    asked_nulls = [question for question in questions.nulls if question is not None]
    broken = [] if questions.broken is None else [questions.broken]
    if wanted is not None:
        return wanted, [*broken, *asked_nulls] if wanted == "null" else [], []
    names = [column.name for column in questions.data.probe.rows.columns]
    single = questions.nulls[: len(names)]
    takes = [
        question is not None and not question.refused and _answered(question.expected)
        for question in single
    ]
    equal = [
        took and question is not None and not compared(question).failed
        for took, question in zip(takes, single, strict=True)
    ]
    if all(equal) and not any(compared(question).failed for question in asked_nulls):
        return "null", [*broken, *asked_nulls], []
    needed = any(questions.gaps)
    if not needed:
        if any(takes):
            wrong = [name for name, good in zip(names, equal, strict=True) if not good]
            told = ", ".join(wrong[:5])
            return "error", [], [f"requests with a missing value are refused (of {told})"]
        return "error", [], []
    # A column with gaps in the data counts, whether or not the export gets it right.
    counted = [
        question
        for question, gap, good in zip(single, questions.gaps, equal, strict=True)
        if question is not None and (gap or good)
    ]
    unsafe = [
        name
        for at, (name, gap, good) in enumerate(zip(names, questions.gaps, equal, strict=True))
        if not gap and not good and _answers_null(served, source, questions, at)
    ]
    if not unsafe:
        return "null", [*broken, *counted], []
    return (
        "error",
        [],
        [
            "requests with a missing value are refused, those like rows of X with one among them: the "
            f"model takes none in {', '.join(unsafe[:5])}, for which its export would answer; impute "
            "every column, or give missing='null'"
        ],
    )


def _answers_null(served: Served, source: Source, questions: Questions, column: int) -> bool:
    """Whether the export gives a finite answer for a missing value, which the model does not take."""
    rows = questions.data.probe.rows.take([0])
    text = rows.columns[column].text
    return _answered(served.answers(rows.replaced(column, [None if text else np.nan]), source))


def _answered(answers: Answers) -> bool:
    """Whether the answers are numbers; serving refuses NaN and infinity."""
    values = answers.prediction if answers.numbers is None else answers.numbers
    return values.dtype.kind != "f" or bool(np.isfinite(values).all())


def groups(found: Iterable[Compared]) -> dict[str, int]:
    """Rows compared, by where they come from."""
    counts: dict[str, int] = {}
    for one in found:
        counts[one.group] = counts.get(one.group, 0) + one.rows
    return counts
