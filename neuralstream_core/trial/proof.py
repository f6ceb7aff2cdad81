"""Prove a model before its version is READY: run on real rows by what will serve it, and compared.

1. The trial rows are those of the caller's check, else of the baseline's own values, else typed extremes;
   never only zeros.
2. The model runs on all of them at once, in the opposite order, and on each by itself. It is refused if
   the answers for a row differ between these runs, or if a run has another number of answers than rows.
3. Kind, classes and the meaning of the scores are settled from what it answered (`kinds`).
4. The answers, read as predictions are (`OutputReader`), are compared with those of the check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from neuralstream_core.errors import ArtifactRejected, FieldError, Invalid
from neuralstream_core.registry.records import Checked, MissingPolicy, Signature, VersionRecord
from neuralstream_core.registry.registration import Check, Declared
from neuralstream_core.runtimes import DATATYPES, Predictions, Runtime, concatenated
from neuralstream_core.serving.cells import (
    RowError,
    fill_columns,
    null_cells,
    override_columns,
)
from neuralstream_core.serving.given import typed
from neuralstream_core.serving.outputs import OutputReader, wrong_row_count
from neuralstream_core.serving.servable import Servable, make_servable
from neuralstream_core.trial.compared import compare
from neuralstream_core.trial.kinds import settle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.registry.records import FeatureRef

__all__ = ["Proof", "prove"]

_SINGLE: Final = 64
"""Rows that are also run one by one."""
_CLOSE: Final = 1e-4
"""Relative difference between two runs of the same row: sums in another order, in float32."""
_FLOATS: Final = (0.5, 1.5, -1.0, 3.0, 0.0, -20.0, 100.0, 0.25, -0.75, 7.5)
_EXTREMES: Final[Mapping[str, tuple[Any, ...]]] = {
    "float32": _FLOATS,
    "float64": _FLOATS,
    "int64": (1, 2, 0, 3, -1, 10, 5, 7, 100, 4),
    "timestamp": tuple(1_700_000_000_000_000 + 86_400_000_000 * k for k in range(10)),
    "bool": (False, True),
    "string": ("a", "b", "", "c", "d"),
}
_TYPED_ROWS: Final = 12


@dataclass(frozen=True, slots=True)
class Proof:
    """The settled signature of a model that passed, and what its check found."""

    signature: Signature
    check: Checked | None


@dataclass(slots=True)
class _Rows:
    """Model inputs of ``n`` trial rows.

    Attributes:
        each: every row must be answered; else those that the model refuses are left out.
    """

    inputs: dict[str, NDArray[Any]]
    n: int
    each: bool
    what: str

    def at(self, rows: Any) -> dict[str, NDArray[Any]]:
        return {name: array[rows] for name, array in self.inputs.items()}


def prove(
    version: VersionRecord,
    runtime: Runtime,
    declared: Declared,
    check: Check | None,
    samples: Mapping[str, Sequence[Any]],
) -> Proof:
    """Settle the signature of a loaded model, and compare its answers with its check.

    Args:
        version: the draft; its features and missing-value policy count.
        samples: values per feature label from the baseline, as many of each.

    Raises:
        ArtifactRejected: the features do not fit; a run failed; ``wrong_row_count``;
            ``depends_on_other_rows``; ``ambiguous_model`` or ``wrong_declaration``; ``invalid_check``
            or ``check_failed``, which names the worst rows.
    """
    draft = version.model_copy(update={"signature": None})
    servable = make_servable(draft, runtime)
    if servable.binding is None:
        rows = _of_tensors(runtime.signature)
    elif check is not None:
        rows = _of_check(servable, check)
    else:
        rows = _of_values(servable, samples)
    rows, trial = _run(runtime, rows)
    signature = settle(runtime.signature, declared, trial)
    if check is None:
        return Proof(signature, None)
    answers = OutputReader(signature).many(trial)
    return Proof(signature, compare(signature, answers, trial, check))


def _of_check(servable: Servable, check: Check) -> _Rows:
    """The check's own rows, missing cells filled as the version's policy says."""
    n = check.rows
    try:
        rows, errors = _filled(servable, _by_label(servable, check), n)
    except Invalid as error:
        places = [FieldError(f"check.inputs.{e.loc}", e.msg) for e in error.errors]
        raise ArtifactRejected(
            f"check.inputs: {error.detail}", code="invalid_check", errors=places
        ) from None
    if errors:
        places = [
            FieldError(f"check.inputs.{row}", reason.detail)
            for row, reason in sorted(errors.items())
        ]
        raise ArtifactRejected(
            f"{places[0].loc}: {places[0].msg}", code="invalid_check", errors=places[:100]
        )
    return rows


def _by_label(servable: Servable, check: Check) -> dict[str, list[Any]]:
    """The check's columns by feature label, whichever name each row uses for a feature.

    Raises:
        Invalid: a name is no input of the model, or two of a row are the same input.
    """
    columns: dict[str, list[Any]] = {}
    if isinstance(check.inputs, dict):
        for name, column in check.inputs.items():
            label = servable.features[servable.place(name, None)].label
            if label in columns:
                raise Invalid.at(f"features.{name}", "given twice")
            columns[label] = column
        return columns
    labels: dict[str, str] = {}
    for at, row in enumerate(check.inputs):
        for name, value in row.items():
            label = labels.get(name) or servable.features[servable.place(name, None)].label
            labels[name] = label
            column = columns.setdefault(label, [None] * check.rows)
            if column[at] is not None:
                raise Invalid.at(f"features.{name}", "given twice")
            column[at] = value
    return columns


def _of_values(servable: Servable, samples: Mapping[str, Sequence[Any]]) -> _Rows:
    """Rows of the baseline's values; of typed extremes where it has none that fit."""
    columns: dict[str, list[Any]] = {}
    count = max((len(values) for values in samples.values()), default=_TYPED_ROWS)
    for place, ref in enumerate(servable.features):
        given = _fitting(ref, samples.get(ref.label, ()))
        columns[ref.label] = _dealt(given or _extremes(ref), place, count)
    if servable.version.missing is MissingPolicy.NULL:
        for ref, fill in zip(servable.features, servable.fill, strict=True):
            columns[ref.label].append(None if fill == (None,) else columns[ref.label][0])
        count += 1
    rows, _ = _filled(servable, columns, count)
    rows.each = False
    rows.what = "rows of the baseline's values" if samples else "sample rows"
    return rows


def _dealt(values: list[Any], place: int, count: int) -> list[Any]:
    """``count`` of the values, with another step for each feature, so that features do not rise and fall
    together; the first two rows take the first two values, the most frequent ones."""
    step = 1 + place % max(1, len(values) - 1)
    return [values[(row * step if row > 1 else row) % len(values)] for row in range(count)]


def _fitting(ref: FeatureRef, values: Sequence[Any]) -> list[Any]:
    check = typed(ref)
    found: list[Any] = []
    for value in values:
        try:
            check(value)
        except (ValueError, TypeError):
            continue
        found.append(value)
    return found


def _extremes(ref: FeatureRef) -> list[Any]:
    values = _EXTREMES[ref.dtype]
    if ref.size == 1:
        return list(values)
    return [
        [values[(at + step) % len(values)] for step in range(ref.size)] for at in range(len(values))
    ]


def _filled(
    servable: Servable, columns: Mapping[str, Sequence[Any]], n: int
) -> tuple[_Rows, dict[int, RowError]]:
    """Cells to inputs on the way that predictions in columns take."""
    errors: dict[int, RowError] = {}
    places = np.arange(n)
    made, status = override_columns(servable, places, columns, None, errors)
    fill_columns(servable, made, status, places, errors)
    inputs = servable.bound.columns(made, null_cells(servable, status))
    return _Rows(inputs, n, each=True, what="rows of the check"), errors


def _of_tensors(signature: Signature) -> _Rows:
    """Rows for a version without features: typed extremes in the shape of its inputs."""
    inputs: dict[str, NDArray[Any]] = {}
    for tensor in signature.inputs:
        shape = (_TYPED_ROWS, *(max(1, size) for size in tensor.shape[1:]))
        count = int(np.prod(shape))
        if tensor.datatype == "BYTES":
            texts = np.empty(count, dtype=object)
            texts[:] = [_EXTREMES["string"][at % 5] for at in range(count)]
            inputs[tensor.name] = texts.reshape(shape)
            continue
        kind = "float64" if tensor.datatype.startswith("FP") else "int64"
        values = [abs(v) if kind == "int64" else v for v in _EXTREMES[kind]]
        cells = [values[(at + at // 7) % len(values)] for at in range(count)]
        inputs[tensor.name] = np.array(cells).astype(DATATYPES[tensor.datatype]).reshape(shape)
    return _Rows(inputs, _TYPED_ROWS, each=False, what="sample rows")


def _run(runtime: Runtime, rows: _Rows) -> tuple[_Rows, Predictions]:
    """The outputs on the trial rows; they must not depend on the rows run together or on their order.

    Raises:
        ArtifactRejected: as `prove`.
    """
    alone: dict[int, Predictions] = {}
    refused: Invalid | None = None
    limit = min(rows.n, _SINGLE)
    for row in range(limit):
        try:
            alone[row] = _asked(runtime, rows, [row])
        except Invalid as error:
            if rows.each or error.code == "wrong_row_count":
                raise _failed(rows, error, row) from None
            refused = error
    if refused is not None:
        if not alone:
            raise _failed(rows, refused, 0)
        kept = [row for row in range(rows.n) if row in alone or row >= limit]
        alone = {place: alone[row] for place, row in enumerate(kept) if row in alone}
        rows = _Rows(rows.at(kept), len(kept), rows.each, rows.what)
    try:
        together = _asked(runtime, rows, list(range(rows.n)))
        backwards = _asked(runtime, rows, list(range(rows.n))[::-1])
    except Invalid as error:
        raise _failed(rows, error, None) from None
    wrong = _differing(together, _picked(backwards, slice(None, None, -1)), None)
    if wrong is None and alone:
        places = sorted(alone)
        try:
            separate = concatenated([alone[place] for place in places])
        except ValueError:
            raise ArtifactRejected(
                "the width of the model's answer changes from row to row", code="wrong_row_count"
            ) from None
        wrong = _differing(_picked(together, places), separate, places)
    if wrong is not None:
        raise ArtifactRejected(
            f"the answer for row {wrong} of the {rows.what} changes with the rows asked together "
            "with it or with their order; a prediction must depend on its own row alone",
            code="depends_on_other_rows",
        )
    return rows, together


def _asked(runtime: Runtime, rows: _Rows, places: list[int]) -> Predictions:
    predictions = runtime.run(rows.at(places))
    for output in (predictions.values, predictions.scores):
        if output is not None and (not output.ndim or len(output) != len(places)):
            raise wrong_row_count(len(places), output)
    return predictions


def _failed(rows: _Rows, error: Invalid, row: int | None) -> ArtifactRejected:
    which = rows.what if row is None else f"row {row} of the {rows.what}"
    code = error.code if error.code == "wrong_row_count" else None
    return ArtifactRejected(f"a run on {which} failed: {error.detail}", code=code)


def _picked(predictions: Predictions, places: Any) -> Predictions:
    scores = predictions.scores
    return Predictions(predictions.values[places], None if scores is None else scores[places])


def _differing(a: Predictions, b: Predictions, places: Sequence[int] | None) -> int | None:
    """The first row whose answers are not the same but for rounding; ``None`` if all are."""
    if a.values.shape != b.values.shape:
        return 0
    same = _same(a.values, b.values)
    if a.scores is not None and b.scores is not None:
        if a.scores.shape != b.scores.shape:
            return 0
        close = _same(a.scores, b.scores)
        same = close & (same | _tied(a.scores))
    wrong = np.flatnonzero(~same)
    if not len(wrong):
        return None
    return int(wrong[0]) if places is None else int(places[wrong[0]])


def _same(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.bool_]:
    """Per row, whether every number is close and every label equal."""
    if a.dtype.kind == "f" and b.dtype.kind == "f":
        finite = np.abs(a[np.isfinite(a)].astype(np.float64))
        scale = float(finite.max()) if finite.size else 0.0
        equal = np.isclose(a, b, rtol=_CLOSE, atol=_CLOSE * min(1.0, scale), equal_nan=True)
    else:
        equal = np.asarray(a == b)
    rows: NDArray[np.bool_] = np.all(equal.reshape(len(a), -1), axis=1)
    return rows


def _tied(scores: NDArray[Any]) -> NDArray[np.bool_]:
    """Rows whose label rounding may decide: the two largest scores, or the one and its threshold."""
    tied: NDArray[np.bool_]
    if scores.shape[1] == 1:
        tied = np.minimum(np.abs(scores[:, 0]), np.abs(scores[:, 0] - 0.5)) <= _CLOSE
    else:
        ordered = np.sort(scores, axis=1)
        spread = np.minimum(ordered[:, -1] - ordered[:, -2], ordered[:, 1] - ordered[:, 0])
        tied = spread <= _CLOSE * np.maximum(1.0, np.abs(ordered[:, -1]))
    return tied
