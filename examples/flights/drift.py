"""Watch drift appear: January's baseline against a shuffled half of January, then against July.

    python -m examples.flights.drift http://127.0.0.1:8000

The same weather model is served as two versions with the same baseline, so that each stream of
predictions has a report of its own.
"""

from __future__ import annotations

import base64
import random
import sys
from typing import Any

from examples.flights.load import DATA, WEATHER_MODEL, Client, feature_row, january, rows_of
from examples.flights.views import WEATHER_INPUTS

__all__ = ["replay", "walk_through"]

SEED = 1


def replay(api: Client, version: str, rows: list[dict[str, str]]) -> None:
    """One prediction an hour and airport, with the observation as request-time values."""
    for row in rows:
        api.call(
            "POST",
            f"/predict/{WEATHER_MODEL}",
            {
                "entity_id": row["airport"],
                "version": version,
                "features": feature_row("weather", row),
            },
        )


def walk_through(base_url: str, api_key: str | None = None) -> dict[str, dict[str, Any]]:
    """Replay both months and return the drift report of each, by month."""
    half = list(rows_of("weather_january"))
    random.Random(SEED).shuffle(half)
    with Client(base_url, api_key) as api:
        versions = {"january": "v1", "july": _july_version(api)}
        replay(api, versions["january"], half[: len(half) // 2])
        replay(api, versions["july"], list(rows_of("weather_july")))
        return {
            month: api.call(
                "GET",
                f"/monitoring/drift?model={WEATHER_MODEL}&version={version}&window=1h",
            )
            for month, version in versions.items()
        }


def _july_version(api: Client) -> str:
    answer = api.call(
        "POST",
        f"/models/{WEATHER_MODEL}/versions",
        {
            "format": "onnx",
            "artifact_base64": base64.b64encode((DATA / "weather.onnx").read_bytes()).decode(),
            "features": list(WEATHER_INPUTS),
            "missing": "null",
            "description": "the same model, fed with July",
            "lineage": {"parents": ["v1"]},
            "baseline": january(),
        },
        idempotency_key="flights-weather-july",
    )
    return str(answer["version"])


def main() -> int:
    """Print both reports of the stack at the URL given as the first argument."""
    base_url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    reports = walk_through(base_url, sys.argv[2] if len(sys.argv) > 2 else None)
    for month, report in reports.items():
        print(f"\n{month}: {report['summary']}")
        for series in report["series"]:
            print(f"  {series['status']:<18} {series['sentence']}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
