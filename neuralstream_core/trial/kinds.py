"""The kind of a model and the meaning of its numbers, as declared or inferred from its trial run.

A model's file does not say whether the numbers beside its labels are probabilities, decision values or
distances. They are taken for probabilities only if every trial row is a distribution, and assigned to
classes only if the largest number of each row belongs to the row's label. If the trial fits several
readings, the version is refused and the error names the field to declare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from neuralstream_core.errors import ArtifactRejected
from neuralstream_core.registry.records import Kind, Label, Scores, Signature
from neuralstream_core.registry.registration import Declared
from neuralstream_core.runtimes import LABELS, Predictions

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["settle"]

_SUM: Final = 1e-3
"""A row of probabilities computed in float32 sums to 1 within this."""
_TIE: Final = 1e-6
_CODE: Final = "ambiguous_model"
_ANOMALY: Final[tuple[Label, ...]] = (-1, 1)


def settle(signature: Signature, declared: Declared, trial: Predictions) -> Signature:
    """The signature with kind, classes, meaning of the scores and names of the outputs.

    Args:
        signature: as the runtime reports it.
        trial: the model's outputs on the trial rows.

    Raises:
        ArtifactRejected: a declaration contradicts the model; or ``ambiguous_model``: says what to
            declare.
    """
    if signature.outputs[0].datatype in LABELS:
        signature = _without_those_of_a_part(signature, trial.values)
        if trial.scores is None:
            settled = _labels_alone(signature, declared, trial.values)
        else:
            settled = _labels_and_scores(signature, declared, trial.values, trial.scores)
    else:
        settled = _numbers(signature, declared, trial.values)
    names = _names(settled, declared, trial.values)
    return settled.model_copy(update={"names": names})


def _without_those_of_a_part(signature: Signature, values: NDArray[Any]) -> Signature:
    """The signature without classes that are not the model's own.

    The members of a vote or stack are fitted to 0, 1, …, and these are the only classes in its file; the
    model itself answers labels of its own.
    """
    if not signature.classes or values.ndim != 1 or set(values.tolist()) <= set(signature.classes):
        return signature
    return signature.model_copy(update={"classes": None})


def _labels_alone(signature: Signature, declared: Declared, values: NDArray[Any]) -> Signature:
    kind = declared.kind or "classifier"
    if declared.scores is not None:
        raise _contradiction("scores", "the model gives labels and no other numbers")
    if kind == "anomaly":
        return _settled(signature, kind, _anomaly_classes(values), None)
    if kind in ("regressor", "embedding"):
        if signature.outputs[0].datatype == "BYTES":
            raise _contradiction("kind", f"a {kind} answers numbers, the model answers text")
        return _settled(signature, kind, None, None)
    classes = _classes(signature, declared)
    _known(values, classes)
    return _settled(signature, kind, classes, None)


def _labels_and_scores(
    signature: Signature, declared: Declared, values: NDArray[Any], numbers: NDArray[Any]
) -> Signature:
    width = numbers.shape[1]
    labels = values.tolist()
    kind = declared.kind or _kind(signature, declared, labels, numbers)
    if kind in ("regressor", "embedding"):
        raise _contradiction("kind", f"the model answers labels and scores, which no {kind} does")
    if kind == "anomaly":
        _check_anomaly_score(declared, width)
        return _settled(signature, kind, _anomaly_classes(values), "score")
    classes = _classes(signature, declared) or _seen(labels, numbers)
    if classes is None and kind == "clusterer":
        classes = tuple(range(width))
    _known(values, classes)
    meaning: Scores
    if declared.scores is not None:
        meaning = _declared_scores(declared.scores, numbers)
    elif _are_probabilities(numbers) or _is_of_one_class(labels, numbers, classes):
        meaning = "probability"
    else:
        meaning = "score"
    agrees = _agrees(labels, numbers, classes, 0.5 if meaning == "probability" else 0.0)
    if meaning != "score":
        _fits(classes, width)
        if declared.classes and not agrees:
            raise _contradiction(
                "classes", "their order is not that in which the model gives its scores"
            )
    elif kind == "classifier" and not agrees:
        meaning = "ignored"
    return _settled(signature, kind, classes, meaning)


def _kind(
    signature: Signature, declared: Declared, labels: list[Any], numbers: NDArray[Any]
) -> Kind:
    """The family of a model that answers labels beside other numbers.

    Raises:
        ArtifactRejected: ambiguous.
    """
    if declared.classes or signature.classes or _are_probabilities(numbers):
        return "classifier"
    width = numbers.shape[1]
    if width == 1 and set(labels) <= set(_ANOMALY):
        return "anomaly"
    whole = all(type(label) is int for label in labels)
    if whole and width > 1:
        nearest, largest = numbers.argmin(axis=1).tolist(), numbers.argmax(axis=1).tolist()
        if labels == nearest and labels != largest and (numbers >= 0).all():
            return "clusterer"
    if _seen(labels, numbers) is not None:
        return "classifier"
    raise ArtifactRejected(
        "whether the labels are classes, clusters or anomalies cannot be told; "
        "declare kind (and classes, of a classifier)",
        code=_CODE,
    )


def _numbers(signature: Signature, declared: Declared, values: NDArray[Any]) -> Signature:
    """A model that answers numbers alone."""
    raw = values.reshape(len(values), -1)
    width = raw.shape[1]
    kind = declared.kind
    if kind is None and declared.classes:
        kind = "classifier"
    if kind is None:
        if width > 1 and not declared.outputs and _are_probabilities(raw):
            raise ArtifactRejected(
                f"each row of the {width} outputs sums to 1: declare kind classifier with its "
                "classes, or kind regressor",
                code=_CODE,
            )
        kind = "regressor"
    if kind == "clusterer":
        raise _contradiction("kind", "a clusterer answers cluster labels, the model only numbers")
    if kind in ("regressor", "embedding"):
        if declared.classes or declared.scores:
            raise _contradiction("kind", f"a {kind} has neither classes nor scores")
        return _settled(signature, kind, None, None)
    if kind == "anomaly":
        _check_anomaly_score(declared, width)
        return _settled(signature, kind, _ANOMALY, "score")
    classes = declared.classes
    if not classes:
        raise ArtifactRejected(
            f"the model answers {width} numbers and no labels: declare classes, in their order",
            code=_CODE,
        )
    _fits(classes, width)
    meaning: Scores
    if declared.scores is not None:
        meaning = _declared_scores(declared.scores, raw)
    elif width == 1:
        # one number in [0, 1] on the trial rows may be a probability as well as a small logit
        raise ArtifactRejected(
            "the model answers one number and no labels: declare scores "
            "(probability, logits or score)",
            code=_CODE,
        )
    else:
        meaning = "probability" if _are_probabilities(raw) else "score"
    return _settled(signature, kind, classes, meaning)


def _names(signature: Signature, declared: Declared, values: NDArray[Any]) -> tuple[str, ...]:
    """Names of the values of one prediction, when it consists of several."""
    derived = signature.scores is not None and len(signature.outputs) == 1
    width = values.shape[1] if values.ndim > 1 and not derived else 1
    if declared.outputs:
        if len(declared.outputs) != width:
            raise _contradiction("outputs", f"names {len(declared.outputs)} of {width} outputs")
        return declared.outputs if width > 1 else ()
    tensors = tuple(tensor.name for tensor in signature.outputs)
    return tensors if 1 < width == len(tensors) else ()


def _are_probabilities(numbers: NDArray[Any]) -> bool:
    """Whether there are several numbers per row, in [0, 1] and with the sum 1."""
    finite = numbers[np.isfinite(numbers).all(axis=1)]
    if numbers.shape[1] < 2 or not len(finite):
        return False
    inside = bool(((finite >= 0.0) & (finite <= 1.0 + _SUM)).all())
    return inside and bool((np.abs(finite.sum(axis=1) - 1.0) <= _SUM).all())


def _can_be_probabilities(numbers: NDArray[Any]) -> bool:
    """Like `_are_probabilities`; a single number per row only has to be in [0, 1]."""
    if numbers.shape[1] > 1:
        return _are_probabilities(numbers)
    finite = numbers[np.isfinite(numbers)]
    return bool(((finite >= 0.0) & (finite <= 1.0 + _SUM)).all())


def _is_of_one_class(
    labels: list[Any], numbers: NDArray[Any], classes: tuple[Label, ...] | None
) -> bool:
    """Whether one number per row is the probability of the second of two classes: numbers in [0, 1], below
    and above 0.5, and the label changes at 0.5."""
    if numbers.shape[1] != 1 or not _can_be_probabilities(numbers):
        return False
    both = bool((numbers > 0.5).any() and (numbers < 0.5).any())
    return both and _agrees(labels, numbers, classes, 0.5)


def _agrees(
    labels: list[Any],
    numbers: NDArray[Any],
    classes: tuple[Label, ...] | None,
    middle: float,
) -> bool:
    """Whether each row's label is the class of its largest number; rows with a tie do not count."""
    if classes is None:
        return False
    width = numbers.shape[1]
    place = {label: at for at, label in enumerate(classes)}
    at = np.array([place.get(label, -1) for label in labels])
    if width == 1:
        if len(classes) != 2:
            return False
        clear = np.abs(numbers[:, 0] - middle) > _TIE
        return bool(((numbers[:, 0] > middle) == (at == 1))[clear].all())
    if width != len(classes):
        return False
    ordered = np.sort(numbers, axis=1)
    with np.errstate(invalid="ignore"):
        clear = ordered[:, -1] - ordered[:, -2] > _TIE
    return bool((numbers.argmax(axis=1) == at)[clear].all())


def _seen(labels: list[Any], numbers: NDArray[Any]) -> tuple[Label, ...] | None:
    """Classes inferred from the trial: for each column, the label of the rows where it is largest.

    ``None`` if a column has several labels or none. If all labels seen equal their column number, the
    columns without a label are taken to continue that.
    """
    width = numbers.shape[1]
    if width < 2:
        return None
    seen: dict[int, Any] = {}
    for label, at in zip(labels, numbers.argmax(axis=1).tolist(), strict=True):
        if seen.setdefault(at, label) != label:
            return None
    if all(type(label) is int and label == at for at, label in seen.items()):
        return tuple(range(width))
    if len(seen) == width and len(set(seen.values())) == width:
        return tuple(seen[at] for at in range(width))
    return None


def _known(values: NDArray[Any], classes: tuple[Label, ...] | None) -> None:
    if classes is None or values.ndim != 1:
        return
    strange = set(values.tolist()) - set(classes)
    if strange:
        raise _contradiction("classes", f"the model answered {min(map(str, strange))[:100]!r}")


def _fits(classes: tuple[Label, ...] | None, width: int) -> None:
    if classes is not None and len(classes) != (2 if width == 1 else width):
        raise _contradiction(
            "classes", f"there are {len(classes)}, and the model gives {width} numbers a row"
        )


def _classes(signature: Signature, declared: Declared) -> tuple[Label, ...] | None:
    if declared.classes and signature.classes and declared.classes != signature.classes:
        raise _contradiction(
            "classes", f"the model's own are {list(signature.classes)[:20]}, in this order"
        )
    return declared.classes or signature.classes


def _anomaly_classes(values: NDArray[Any]) -> tuple[Label, ...]:
    if values.ndim != 1 or not set(values.tolist()) <= set(_ANOMALY):
        raise _contradiction("kind", "an anomaly detector answers -1 (anomaly) or 1")
    return _ANOMALY


def _check_anomaly_score(declared: Declared, width: int) -> None:
    if width != 1:
        raise _contradiction("kind", f"an anomaly detector gives one score, not {width}")
    if declared.scores not in (None, "score"):
        raise _contradiction("scores", "an anomaly detector's numbers are scores")


def _declared_scores(scores: Scores, numbers: NDArray[Any]) -> Scores:
    """The declared meaning of the numbers, which must agree with those of the trial."""
    if scores == "probability" and not _can_be_probabilities(numbers):
        raise _contradiction(
            "scores",
            "the model's numbers are no probabilities: on the trial rows they do not sum to 1 "
            "or leave [0, 1]; declare logits or score",
        )
    return scores


def _settled(
    signature: Signature,
    kind: Kind,
    classes: tuple[Label, ...] | None,
    scores: Scores | None,
) -> Signature:
    return signature.model_copy(update={"kind": kind, "classes": classes, "scores": scores})


def _contradiction(field: str, why: str) -> ArtifactRejected:
    return ArtifactRejected(f"{field}: {why}", code="wrong_declaration")
