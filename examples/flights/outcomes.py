"""Watch outcomes find a mistake that nothing else shows, and the guard undo it.

    python -m examples.flights.outcomes http://127.0.0.1:8000

Departures that no model has seen are predicted by the version in production, and what became of them is sent
as outcomes. Then a version with a mistake is promoted: the trees, with the weather's features in alphabetical
order, which is not the one they were trained with. It loads, answers as fast as before and fails no row; only
the outcomes tell. The guard is evaluated every five minutes, so this takes up to seven.
"""

from __future__ import annotations

import base64
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from examples.flights.load import DATA, MODEL, Client, held_out, request_of
from examples.flights.views import INPUTS, WEATHER_INPUTS

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GUARD", "Story", "ending", "walk_through"]

GUARD = {
    "rules": [{"metric": "performance.accuracy", "worse_than_baseline": 0.05}],
    "action": "rollback",
}
"""Five points below the former version at most; what is worse by chance alone does not count."""
MISTAKEN = (*sorted(WEATHER_INPUTS), *INPUTS[len(WEATHER_INPUTS) :])
PATIENCE_SECONDS = 15 * 60
_PAUSE_SECONDS = 10


class Story(NamedTuple):
    """What happened.

    Attributes:
        good, mistaken: the versions.
        production: the version in production at the end.
        performance: of every version with predictions, as `/monitoring/performance` answers it.
        event: the roll-back in the model's lineage.
    """

    good: str
    mistaken: str
    production: str
    performance: dict[str, dict[str, Any]]
    event: dict[str, Any]


def fly(api: Client, version: str, flights: list[dict[str, str]]) -> None:
    """Predict every flight, then say which ones left late."""
    answers = [
        api.call("POST", f"/predict/{MODEL}", request_of(flight) | {"version": version})
        for flight in flights
    ]
    api.call(
        "POST",
        "/outcomes",
        {
            "model": MODEL,
            "rows": [
                {"prediction_id": answer["prediction_id"], "label": int(float(flight["late"]))}
                for answer, flight in zip(answers, flights, strict=True)
            ],
        },
    )


def walk_through(
    base_url: str,
    api_key: str | None = None,
    *,
    flights: int | None = None,
    wait: Callable[[float], None] = time.sleep,
    tell: Callable[[str], None] = lambda _: None,
) -> Story:
    """Set the guard, promote the mistaken version, and wait until it is rolled back.

    Args:
        flights: how many; ``None``: all that there are.
        wait: passes some seconds.
        tell: is told what is being done.

    Raises:
        TimeoutError: it was not rolled back.
    """
    flown = held_out()[:flights]
    with Client(base_url, api_key) as api:
        mistaken = _mistaken_version(api)
        good = _good_version(api, mistaken)
        api.call("PUT", f"/models/{MODEL}/guard", GUARD)
        tell(f"{good} predicts today's flights, and the delays arrive")
        fly(api, good, flown)
        tell(f"{mistaken} is promoted, and predicts the same flights")
        api.call("POST", f"/models/{MODEL}/promote/{mistaken}", {"reason": "better trees"})
        fly(api, mistaken, flown)
        tell("the guard is evaluated every five minutes")
        production = _rolled_back(api, mistaken, wait)
        report = api.call("GET", f"/monitoring/performance?model={MODEL}&window=1h")
        events = api.call("GET", f"/models/{MODEL}/lineage")["events"]
    performance = {one["version"]: one for one in report["versions"]}
    event = [one for one in events if one["kind"] == "rolled_back"][-1]
    return Story(good, mistaken, production, performance, event)


def ending(story: Story) -> list[str]:
    """How it ended, line by line."""
    lines = [f"{story.production} is in production again. {story.event['reason']}"]
    for version, found in story.performance.items():
        accuracy, log_loss = (found["metrics"][name] for name in ("accuracy", "log_loss"))
        lines.append(
            f"{version}: accuracy {accuracy['value']:.2f} ({accuracy['low']:.2f} to {accuracy['high']:.2f}),"
            f" log loss {log_loss['value']:.2f} ({log_loss['low']:.2f} to {log_loss['high']:.2f})"
        )
    return lines


def _rolled_back(api: Client, mistaken: str, wait: Callable[[float], None]) -> str:
    for _ in range(PATIENCE_SECONDS // _PAUSE_SECONDS):
        production = str(api.call("GET", f"/models/{MODEL}")["production_version"])
        if production != mistaken:
            return production
        wait(_PAUSE_SECONDS)
    raise TimeoutError(f"{mistaken} is still in production")


def _good_version(api: Client, mistaken: str) -> str:
    production = str(api.call("GET", f"/models/{MODEL}")["production_version"])
    if production != mistaken:
        return production
    # a walk-through before this one was interrupted
    again = {"reason": "the walk-through begins again"}
    return str(api.call("POST", f"/models/{MODEL}/rollback", again)["production_version"])


def _mistaken_version(api: Client) -> str:
    answer = api.call(
        "POST",
        f"/models/{MODEL}/versions",
        {
            "format": "onnx",
            "artifact_base64": base64.b64encode((DATA / "trees.onnx").read_bytes()).decode(),
            "features": list(MISTAKEN),
            "missing": "null",
            "description": "gradient-boosted trees, features in order",
            "lineage": {"parents": ["v2"]},
        },
        idempotency_key="flights-mistaken",
    )
    return str(answer["version"])


def main() -> int:
    """Tell the story on the stack at the URL given as the first argument."""
    base_url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    # each line at once, also into a pipe: minutes pass between them
    tell = partial(print, flush=True)
    story = walk_through(base_url, sys.argv[2] if len(sys.argv) > 2 else None, tell=tell)
    for line in ending(story):
        print(line)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
