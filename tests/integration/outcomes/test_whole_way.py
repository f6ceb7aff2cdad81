"""A hundred thousand predictions and their outcomes, Redis killed between: each is counted once, and what
is lost is what had not been drained."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

from neuralstream_core.outcomes.drain import Drain
from neuralstream_core.outcomes.ids import PredictionId
from neuralstream_core.outcomes.intake import Intake, outcome_of
from neuralstream_core.outcomes.joined import By, Join
from neuralstream_core.outcomes.reading import OutcomeReader
from neuralstream_core.parquet import Space
from neuralstream_core.redis import connect
from neuralstream_local.embedded_redis import EmbeddedRedis
from tests.support.features import Clock
from tests.support.history import HistoryHouse
from tests.support.outcomes import NAMESPACE, LoggedPrediction, Sent, expected
from tests.support.predictions import WATCHED, predict_rows
from tests.support.redis import settings_for

MINUTE = 60 * 1_000_000
HOUR = 60 * MINUTE
ROUNDS = 50
BATCH = 500
BATCHES = 4
"""Of each minute."""
KILLED = {7, 23, 24, 41}
"""Minutes in which Redis dies behind the second batch, and comes back, empty, behind the third."""


def test_each_outcome_of_a_hundred_thousand_predictions_is_counted_once(
    clock: Clock, house: HistoryHouse
) -> None:
    deal = random.Random(17)
    begun = clock.now
    answered: list[LoggedPrediction] = []
    kept: list[LoggedPrediction] = []
    sent: list[Sent] = []
    waiting: list[tuple[int, dict[str, Any]]] = []
    """When an outcome will be sent, and the outcome."""
    intake = Intake(house.log, house.history_table, NAMESPACE, clock)

    def send() -> None:
        """The outcomes that are due, in no order, and some of earlier requests again."""
        due = [row for at, row in waiting if at <= clock.now]
        waiting[:] = [(at, row) for at, row in waiting if at > clock.now]
        deal.shuffle(due)
        outcomes = [outcome_of("m", clock.now, **row) for row in due]
        outcomes += [each.outcome for each in deal.choices(sent, k=500)] if sent else []
        request = f"o{len(sent):08d}"
        house.log.append([intake.part("m", request, outcomes)])
        sent.extend(Sent(o, clock.now, request, i) for i, o in enumerate(outcomes))

    with EmbeddedRedis() as server:
        port = connect(settings_for(server))
        recorder = WATCHED.recorder(port, clock)
        drain = Drain(port, house.log, NAMESPACE, clock)
        lost_requests = 0
        for minute in range(ROUNDS):
            recorded: list[LoggedPrediction] = []
            for batch in range(BATCHES):
                entities = [f"e{deal.randrange(30_000)}" for _ in range(BATCH)]
                ids = predict_rows(recorder, clock.now, BATCH, entities=entities)
                at = PredictionId.parse(ids[0]).at
                rows = [
                    LoggedPrediction(id_, at, "v1", label="1", entity=entity)
                    for id_, entity in zip(ids, entities, strict=True)
                ]
                answered += rows
                recorded += rows
                if minute in KILLED and batch == 1:
                    server.kill()
                if minute in KILLED and batch == 2:
                    server.start()
                    recorded.clear()
                    lost_requests += recorder.lost
                    recorder = WATCHED.recorder(
                        port, clock
                    )  # the other one pauses after its failure
                for prediction in rows:
                    for _ in range(deal.choice((1, 1, 1, 2)) if deal.random() < 0.6 else 0):
                        row: dict[str, Any] = {"prediction_id": prediction.id}
                        if deal.random() < 0.2:
                            row = {"entity": prediction.entity, "predicted_at": at + 1000}
                        observed = at + 1000 + deal.randrange(80 * MINUTE)
                        row |= {"label": deal.choice("01"), "observed_at": observed}
                        waiting.append((observed + deal.randrange(80 * MINUTE), row))
            assert drain.run().rows == len(recorded)
            kept += recorded
            if minute % 5 == 4:
                send()
            if minute % 20 == 0:
                house.compact()
            clock.now += MINUTE
        clock.now += 3 * HOUR
        send()
        house.compact()
        port.close()

    # A Redis that dies takes what came since the last drain, and what came while it was gone.
    assert len(answered) == ROUNDS * BATCHES * BATCH
    assert len(answered) - len(kept) == len(KILLED) * 3 * BATCH
    assert lost_requests == len(KILLED)
    reader = OutcomeReader(house.history, NAMESPACE, Space(1000, 2, Path(tempfile.gettempdir())))
    bys: tuple[By, By] = ("predicted", "observed")
    for by in bys:
        start, end = begun + 2 * MINUTE, begun + 2 * HOUR
        (found,) = (read := reader.read(Join("m", None, start, end, by))).versions
        wanted = expected(kept, sent, start, end, by)
        assert found.outcomes == len(wanted.truths)
        labels = found.true_label.tolist()
        assert labels.count("1") == [label for _, label in wanted.truths.values()].count("1")
        assert read.unmatched == wanted.unmatched
        if by == "predicted":
            assert found.logged == found.predictions == wanted.predictions["v1"]
            assert found.matched == len(wanted.truths)
