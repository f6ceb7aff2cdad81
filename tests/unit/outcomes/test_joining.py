"""Each outcome is counted once, whatever comes late, twice, corrected, out of order or by entity."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from neuralstream_core.history.entries import Part
from neuralstream_core.outcomes.intake import Intake, Outcome, outcome_of
from neuralstream_core.outcomes.joined import By, Join, Read
from neuralstream_core.outcomes.reading import OutcomeReader
from neuralstream_core.parquet import Space
from neuralstream_core.time import Micros
from tests.support.outcomes import (
    NAMESPACE,
    LoggedPrediction,
    Rows,
    Sent,
    expected,
    logged,
    named,
)

HOUR = 3600 * 1_000_000
START = 1_790_000_000_000_000 // HOUR * HOUR
NOW = START + 200 * HOUR
SPACE = Space(1000, 2, Path(tempfile.gettempdir()))


def packed(request_id: str, outcomes: Sequence[Outcome]) -> Part:
    """Outcomes of one request as the log holds them."""
    intake: Any = Intake(None, None, NAMESPACE, lambda: NOW)  # type: ignore[arg-type]
    part: Part = intake.part("m", request_id, outcomes)
    return part


def read(parts: Sequence[tuple[Micros, Part]], join: Join) -> Read:
    """The join over a history of these parts."""
    rows: Any = Rows(parts)
    return OutcomeReader(rows, NAMESPACE, SPACE).read(join)


def assert_equal(found: Read, wanted: Any, by: By) -> None:
    """Compare what was found with what the plain count says."""
    truths = Counter(
        (each.version + ("~" if each.shadow else ""), value if text is None else text)
        for each in found.versions
        for text, value in zip(each.true_label.tolist(), each.true_value.tolist(), strict=True)
    )
    assert truths == Counter(wanted.truths.values())
    assert found.unmatched == wanted.unmatched
    if by == "predicted":
        counted = {v.version + ("~" if v.shadow else ""): v.predictions for v in found.versions}
        assert counted == wanted.predictions


PREDICTIONS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 5, 20, 23, 24, 30, 47, 48]),  # hours
        st.sampled_from(["v1", "v2"]),
        st.sampled_from(["u1", "u2", None]),
        st.booleans(),  # with a shadow
    ),
    max_size=8,
)
OUTCOMES = st.lists(
    st.tuples(
        st.integers(0, 9),  # of which prediction; beyond the last: of one that is not known
        st.sampled_from(["id", "entity"]),
        st.sampled_from(
            [0, 1, 23, 24, 25]
        ),  # hours between the prediction and the time that is named
        st.sampled_from([0, 1, 1, 30, 72]),  # hours until it was observed
        st.sampled_from(["a", "b", 1.0, 2.5]),
    ),
    max_size=12,
)


@settings(max_examples=25)
@given(PREDICTIONS, OUTCOMES, st.sampled_from(["predicted", "observed"]), st.data())
def test_every_outcome_is_counted_once(
    predicted: list[Any], became: list[Any], by: By, data: st.DataObject
) -> None:
    predictions: list[LoggedPrediction] = []
    for number, (hour, version, entity, shadowed) in enumerate(predicted):
        at = START + hour * HOUR + number
        own = named("m", version, at, str(number))
        predictions.append(LoggedPrediction(own, at, version, label="a", entity=entity))
        if shadowed:
            other = named("m", "v9", at, f"shadow {number}")
            predictions.append(
                LoggedPrediction(other, at, "v9", label="b", entity=entity, shadow=True, of=own)
            )
    outcomes: list[Outcome] = []
    answered = [prediction for prediction in predictions if not prediction.shadow]
    for number, form, later, after, label in became:
        at = START + 7 * HOUR
        whose, entity = named("m", "v1", at, f"unknown {number}"), "u1"
        if number < len(answered):
            at, whose = answered[number].at, answered[number].id
            entity = answered[number].entity or "u3"
        if form == "id":
            row: dict[str, Any] = {"prediction_id": whose, "observed_at": at + after * HOUR}
        else:
            asked = at + later * HOUR
            row = {"entity": entity, "predicted_at": asked, "observed_at": asked + after * HOUR}
        outcomes.append(outcome_of("m", NOW, label=label, **row))
    parts = [(NOW, logged("m", "p", predictions))] if predictions else []
    if predictions and data.draw(st.booleans(), "predictions delivered twice"):
        parts *= 2
    sent: list[Sent] = []
    for number in range(data.draw(st.integers(1, 3), "requests")):
        some = [o for i, o in enumerate(outcomes) if i % 3 == number or number == 0]
        write_time = NOW - data.draw(st.integers(0, 2), "seconds before") * 1_000_000
        if some:
            parts.append((write_time, packed(f"o{number}", some)))
            sent += [Sent(o, write_time, f"o{number}", i) for i, o in enumerate(some)]
    start, end = START + 1 * HOUR, START + 40 * HOUR
    found = read(parts, Join("m", None, start, end, by))
    assert_equal(found, expected(predictions, sent, start, end, by), by)


def test_thirty_thousand_predictions() -> None:
    deal = random.Random(17)
    predictions: list[LoggedPrediction] = []
    outcomes: list[Outcome] = []
    for number in range(30_000):
        at, version = START + deal.randrange(48 * HOUR), deal.choice(("v1", "v2"))
        entity = f"e{deal.randrange(10_000)}"
        weight = deal.choice((1.0, 4.0))
        own = named("m", version, at, str(number))
        predictions.append(
            LoggedPrediction(own, at, version, label="a", entity=entity, weight=weight)
        )
        for _ in range(deal.choice((1, 1, 1, 2)) if deal.random() < 0.6 else 0):
            observed = at + deal.randrange(40 * HOUR) + 10_000
            label = deal.choice("ab")
            if deal.random() < 0.2:
                named_at = at + deal.randrange(10_000)
                row: dict[str, Any] = {"entity": entity, "predicted_at": named_at}
            else:
                row = {"prediction_id": own}
            outcomes.append(outcome_of("m", NOW, label=label, observed_at=observed, **row))
    deal.shuffle(outcomes)
    outcomes += outcomes[:2_000]
    parts = [
        (NOW, logged("m", f"p{at}", predictions[at : at + 10_000]))
        for at in (*range(0, len(predictions), 10_000), 0)  # the first one twice
    ]
    sent: list[Sent] = []
    for at in range(0, len(outcomes), 10_000):
        some, request = outcomes[at : at + 10_000], f"o{at:08d}"
        parts.append((NOW + at, packed(request, some)))
        sent += [Sent(o, NOW + at, request, i) for i, o in enumerate(some)]
    start, end = START + 2 * HOUR, START + 46 * HOUR
    weights = {prediction.id: prediction.weight for prediction in predictions}
    bys: tuple[By, By] = ("predicted", "observed")
    for by in bys:
        found = read(parts, Join("m", None, start, end, by))
        wanted = expected(predictions, sent, start, end, by)
        assert_equal(found, wanted, by)
        matched = Counter[str]()
        for id_, (version, _) in wanted.truths.items():
            matched[version] += int(weights[id_])
        assert {each.version: each.matched for each in found.versions} == matched


def test_one_version_of_one_model() -> None:
    at = START + HOUR
    mine = [LoggedPrediction(named("m", v, at, v), at, v, label="a") for v in ("v1", "v2", "v10")]
    other = LoggedPrediction(named("m2", "v1", at, "x"), at, "v1", label="a")
    outcomes = [
        outcome_of("m", NOW, prediction_id=p.id, label="a", observed_at=at + HOUR) for p in mine
    ]
    outcomes.append(
        outcome_of("m", NOW, prediction_id=named("m", "v1", at, "?"), label="a", observed_at=at)
    )
    parts = [
        (NOW, logged("m", "p", mine)),
        (NOW, logged("m2", "q", [other])),
        (NOW, packed("o", outcomes)),
    ]
    one = read(parts, Join("m", "v1", START, NOW))
    assert [(each.version, each.outcomes) for each in one.versions] == [("v1", 1)]
    assert one.unmatched == 1
    assert read(parts, Join("m", "v2", START, NOW)).unmatched == 0
    every = read(parts, Join("m", None, START, NOW))
    assert [each.version for each in every.versions] == ["v1", "v2", "v10"]
    others = read(parts, Join("m2", None, START, NOW))
    assert [(each.logged, each.outcomes) for each in others.versions] == [(1, 0)]
