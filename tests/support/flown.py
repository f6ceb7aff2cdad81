"""The flights after a day's work: predictions that drift, and predictions whose outcomes came in."""

from __future__ import annotations

import json

from examples.flights import drift
from examples.flights.load import Client, held_out
from examples.flights.outcomes import fly
from neuralstream_local.laptop import STACK
from tests.support.poll import eventually
from tests.support.stack import RunningStack

__all__ = ["FLOWN", "day_of_work"]

FLOWN = 150
"""Flights that were predicted, and that have landed."""


def day_of_work(stack: RunningStack) -> None:
    """Leaves predictions that drift, and outcomes of others, in a stack that has the flights example."""
    drift.walk_through(stack.url)
    with Client(stack.url) as api:
        fly(api, "v1", held_out()[:FLOWN])
    reply = stack.client("lambda").invoke(
        FunctionName=f"{STACK}-outcomes-scheduled", Payload=json.dumps({"task": "drain"})
    )
    assert "FunctionError" not in reply, reply["Payload"].read()

    def measured() -> bool:
        answer = stack.request("GET", "/monitoring/performance?model=flight_delay&window=24h")
        return [each["n"] for each in answer.json()["versions"]] == [FLOWN]

    assert eventually(measured, every=0.5)
