"""What the prediction log keeps: of the answer of one row, of a batch, of an inference on tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from neuralstream_core.features.rows import Entity
from neuralstream_core.monitoring.observation import LogEntry, Observation
from neuralstream_core.outcomes.ids import PredictionId
from neuralstream_core.outcomes.log import LoggedRows, entity_text, packed, packed_one, sampled
from neuralstream_core.registry.records import PredictionLog
from neuralstream_core.serving.observed import first_output
from neuralstream_core.serving.outputs import Answers
from neuralstream_core.serving.predictions import Group, Prediction, RowIds
from neuralstream_core.serving.servable import Servable

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["log_group", "log_prediction", "log_tensors"]

_KINDS: Final = frozenset({"classifier", "regressor", "anomaly"})
"""Whose predictions can turn out right or wrong. Of several outputs the first is logged."""
_ALONE: Final = np.array([-1])


def log_prediction(
    prediction: Prediction, policy: PredictionLog, *, of: str | None = None
) -> Sequence[LogEntry]:
    """The entries of the answer for one entity; none where the policy leaves it out.

    Args:
        of: of a shadow, the version that answered; its prediction has the same ULID.
    """
    servable = prediction.servable
    if not _logs(servable, policy):
        return ()
    if policy.sample < 1 and not sampled(prediction.unique, _ALONE, policy.sample)[0]:
        return ()
    answer = prediction.answer
    first = answer.prediction[0] if isinstance(answer.prediction, list) else answer.prediction
    entity = entity_text(prediction.entity)
    weight = 1 / policy.sample
    if not (policy.features or answer.probabilities or of):
        return packed_one(prediction.id, first, answer.probability, entity, weight)
    return packed(
        LoggedRows(
            prediction.id,
            None,
            [first],
            None if answer.probability is None else [answer.probability],
            [list(answer.probabilities.values())] if answer.probabilities else None,
            None if entity is None else [entity],
            servable.labels if policy.features else (),
            [prediction.values] if policy.features else (),
            weight,
            None if of is None else [of],
        )
    )


def log_group(
    group: Group,
    answered: NDArray[np.bool_],
    policy: PredictionLog,
    ids: RowIds,
    entities: Sequence[Entity | None],
    *,
    of: Sequence[str] | None = None,
) -> Sequence[LogEntry]:
    """The entries of the rows that one version answered.

    Args:
        answered: of the rows of `Group.good`, those without an error.
        ids, entities: of all rows of the request.
        of: of a shadow, the version that answered each row of the request, under the same ULID.
    """
    servable, answers = group.servable, group.answers
    if answers is None or not _logs(servable, policy):
        return ()
    places = np.flatnonzero(answered)
    rows = group.rows[group.good[places]]
    if policy.sample < 1:
        kept = sampled(ids.unique, ids.numbers[rows], policy.sample)
        places, rows = places[kept], rows[kept]
    if not len(places):
        return ()
    at = rows.tolist()
    texts = [entity_text(entities[row]) for row in at]
    served = None if of is None else [of[row] for row in at]
    inputs: Sequence[Sequence[Any]] = ()
    if policy.features:
        columns = [column[group.good[places]].tolist() for column in group.columns]
        inputs = list(zip(*columns, strict=True))
    numbers = ids.numbers[rows].tolist()
    found = _rows(servable, answers, places, ids.unique, policy, numbers, inputs)
    return packed(replace(found, entities=texts, of=served))


def log_tensors(
    servable: Servable,
    answers: Answers,
    seen: Observation,
    policy: PredictionLog,
    unique: str,
    *,
    of: str | None = None,
) -> Sequence[LogEntry]:
    """The entries of an inference on the caller's own tensors.

    Args:
        seen: what monitoring is told of it.
        of: of a shadow, the version that answered.
    """
    n = len(answers.prediction)
    if not n or not _logs(servable, policy):
        return ()
    numbers = np.arange(n)
    places = numbers
    if policy.sample < 1:
        places = numbers[sampled(unique, _ALONE if n == 1 else numbers, policy.sample)]
    if not len(places):
        return ()
    inputs: Sequence[Sequence[Any]] = ()
    if policy.features and seen.columns:
        columns = [np.asarray(column)[places].tolist() for column in seen.columns]
        inputs = list(zip(*columns, strict=True))
    ends = None if n == 1 else places.tolist()
    found = _rows(servable, answers, places, unique, policy, ends, inputs)
    return packed(found if of is None else replace(found, of=[of] * len(places)))


def _logs(servable: Servable, policy: PredictionLog) -> bool:
    return policy.sample > 0 and servable.reader.kind in _KINDS


def _rows(
    servable: Servable,
    answers: Answers,
    places: NDArray[np.intp],
    unique: str,
    policy: PredictionLog,
    numbers: list[int] | None,
    inputs: Sequence[Sequence[Any]],
) -> LoggedRows:
    probability, by_class = answers.probability, answers.by_class
    version = servable.version
    return LoggedRows(
        PredictionId(version.model, version.version, unique).request,
        numbers,
        first_output(answers.prediction)[places].tolist(),
        None if probability is None else probability[places].tolist(),
        None if by_class is None or probability is None else by_class[places].tolist(),
        names=servable.labels if inputs else (),
        inputs=inputs,
        weight=1 / policy.sample,
    )
