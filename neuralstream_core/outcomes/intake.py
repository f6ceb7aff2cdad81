"""Outcomes on their way into the history: checked, packed as rows of the view of outcomes, appended.

Nothing is looked up: an outcome of a prediction that is not known, or not yet, is kept like any other, and
belongs to its prediction as soon as that is in the history too.

An item of the history table, ``PK = OUTCOMES#{ns}#{sha256}``, ``SK = KEY``, remembers for a week when a
request with an idempotency key came first and what it said.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from neuralstream_core.errors import ConditionFailed, Conflict, FieldError, Invalid
from neuralstream_core.features._codec import Codec
from neuralstream_core.features.values import EXACT, MAX_FUTURE
from neuralstream_core.features.writes import GivenColumns
from neuralstream_core.history.entries import Part
from neuralstream_core.history.log import HistoryLog
from neuralstream_core.outcomes.ids import PredictionId
from neuralstream_core.outcomes.log import entity_text
from neuralstream_core.outcomes.requests import OutcomeRow
from neuralstream_core.outcomes.views import OUTCOMES, internal_views
from neuralstream_core.table import Item, Table
from neuralstream_core.time import Clock, Micros, to_micros

__all__ = [
    "Intake",
    "Outcome",
    "WrongOutcome",
    "by_version",
    "entity_key",
    "outcome_of",
]

_MAX_ERRORS: Final = 100
_KEY: Final = "KEY"
_KEPT_SECONDS: Final = 7 * 86_400


class WrongOutcome(ValueError):
    """What is wrong with an outcome.

    Args:
        field: of the row.
        said: the end of a sentence that begins with the field.
    """

    def __init__(self, field: str, said: str) -> None:
        super().__init__(f"{field} {said}")
        self.field, self.said = field, said


class Outcome(NamedTuple):
    """One checked outcome.

    Attributes:
        key: entity of its row in the view of outcomes.
        version: that predicted; ``None`` of one by entity, which does not say.
        label, value: the label as text or as a number; the other one is ``None``.
        entity, predicted_at: of one by entity.
        observed_at: microseconds.
    """

    key: str
    version: str | None
    label: str | None
    value: float | None
    entity: str | None
    predicted_at: Micros | None
    observed_at: Micros


def entity_key(model: str, predicted_at: Micros, entity: str) -> str:
    """The entity of the row of an outcome that names no prediction id."""
    return f"{model}\n{predicted_at}\n{entity}"


def outcome_of(
    model: str,
    now: Micros,
    *,
    prediction_id: str | None = None,
    entity: str | None = None,
    predicted_at: Micros | None = None,
    label: bool | float | str,
    observed_at: Micros | None = None,
) -> Outcome:
    """A checked outcome of a prediction of ``model``.

    Args:
        entity, predicted_at: in place of ``prediction_id``.
        observed_at: ``now`` where ``None``.

    Raises:
        WrongOutcome: it cannot be one.
    """
    observed = now if observed_at is None else observed_at
    version = None
    if prediction_id is not None:
        try:
            named = PredictionId.parse(prediction_id)
        except ValueError as error:
            raise WrongOutcome("prediction_id", str(error)) from None
        if named.model != model:
            raise WrongOutcome("prediction_id", f"is of another model than {model}")
        key, version, at, place = prediction_id, named.version, named.at, "prediction_id"
    else:
        if entity is None or predicted_at is None:
            raise WrongOutcome("prediction_id", "is required, or entity_id and predicted_at")
        key, at, place = entity_key(model, predicted_at, entity), predicted_at, "predicted_at"
    if observed > now + MAX_FUTURE:
        raise WrongOutcome("observed_at", "is more than 5 minutes in the future")
    if at > now + MAX_FUTURE or at <= -EXACT:
        raise WrongOutcome(place, "is of a time in the future or out of range")
    if observed_at is not None and observed < at:
        raise WrongOutcome("observed_at", "is before the prediction")
    text = label if isinstance(label, str) else None
    value = None if isinstance(label, str) else float(label)
    return Outcome(key, version, text, value, entity, predicted_at, max(observed, at))


class Intake:
    """Appends outcomes to the history.

    Args:
        log: the history's log.
        table: the history table, for idempotency keys.
        namespace: see `neuralstream_core.settings.BaseSettings.namespace`.
        clock: now, in microseconds.

    Raises (every method):
        Unavailable: the history cannot be reached.
    """

    def __init__(self, log: HistoryLog, table: Table, namespace: str, clock: Clock) -> None:
        self._log, self._table, self._namespace, self.clock = log, table, namespace, clock
        self._view = internal_views(namespace)[OUTCOMES]
        self._codec = Codec(self._view, namespace, 0)

    def begun(self, actor: str, key: str, said: bytes) -> tuple[str, Micros]:
        """The id and the time of a request with an idempotency key: those of its first attempt.

        Args:
            actor: principal whose key it is.
            said: what the request says.

        Raises:
            Conflict: the key was used for another request.
        """
        name = hashlib.sha256(f"{actor}\0{key}".encode()).hexdigest()
        digest, now = hashlib.sha256(said).hexdigest(), self.clock()
        partition = f"OUTCOMES#{self._namespace}#{name}"
        item: Item = {
            "PK": partition,
            "SK": _KEY,
            "at": now,
            "digest": digest,
            "expires_at": now // 1_000_000 + _KEPT_SECONDS,
        }
        try:
            self._table.put(item, condition="attribute_not_exists(PK)")
        except ConditionFailed:
            earlier = self._table.get(partition, _KEY) or item
            if earlier["digest"] != digest:
                raise Conflict(
                    "this idempotency key was used for other outcomes", code="idempotency_conflict"
                ) from None
            now = earlier["at"]
        return f"outcomes/{name}", now

    def rows(self, model: str, rows: Sequence[OutcomeRow], now: Micros) -> list[Outcome]:
        """The outcomes of a request.

        Raises:
            Invalid: names each row that is wrong (the first hundred).
        """
        found: list[Outcome] = []
        errors: list[FieldError] = []
        for number, row in enumerate(rows):
            try:
                found.append(_of_row(model, row, now))
            except WrongOutcome as error:
                errors.append(FieldError(f"rows.{number}.{error.field}", error.said))
                if len(errors) == _MAX_ERRORS:
                    break
        if errors:
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            raise Invalid(f"{errors[0].loc}: {errors[0].msg}{more}", errors=errors)
        return found

    def record(self, model: str, batches: Iterable[tuple[str, Sequence[Outcome]]]) -> None:
        """Append outcomes of one model, all or none; they are durable when this returns.

        Args:
            batches: outcomes by the id of the request or message that brought them: one that is sent again
                with the same id and times adds nothing.
        """
        self.append([self.part(model, request, some) for request, some in batches if some])

    def append(self, parts: Sequence[Part]) -> None:
        """Append what `part` made, all or none."""
        self._log.append(parts)

    def part(self, model: str, request_id: str, outcomes: Sequence[Outcome]) -> Part:
        """Outcomes as rows of the view, packed."""
        keys = [outcome.key.encode() for outcome in outcomes]
        columns = {
            "model": [model] * len(outcomes),
            "label": [outcome.label for outcome in outcomes],
            "value": [outcome.value for outcome in outcomes],
            "entity": [outcome.entity for outcome in outcomes],
            "predicted_at": _times([outcome.predicted_at for outcome in outcomes]),
        }
        times = np.array([outcome.observed_at for outcome in outcomes], np.int64)
        packed = GivenColumns(keys, columns, times).pack(self._codec, self.clock())
        view = self._view
        return Part(view.name, view.generation, view.schema_version, request_id, keys, packed.rows)


def by_version(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """How many outcomes name which version."""
    counts = Counter(outcome.version for outcome in outcomes if outcome.version is not None)
    return dict(sorted(counts.items(), key=lambda item: int(item[0][1:])))


def _of_row(model: str, row: OutcomeRow, now: Micros) -> Outcome:
    entity = tuple(row.entity_id) if isinstance(row.entity_id, list) else row.entity_id
    return outcome_of(
        model,
        now,
        prediction_id=row.prediction_id,
        entity=entity_text(entity),
        predicted_at=None if row.predicted_at is None else to_micros(row.predicted_at),
        label=row.label,
        observed_at=None if row.observed_at is None else to_micros(row.observed_at),
    )


def _times(times: Sequence[Micros | None]) -> np.ma.MaskedArray:
    filled = np.array([0 if time is None else time for time in times], np.int64)
    return np.ma.MaskedArray(filled, [time is None for time in times])
