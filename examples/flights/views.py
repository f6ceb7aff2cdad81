"""What the example's feature views hold and which inputs its models take, in order."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["DELAYED_AFTER_MINUTES", "INPUTS", "NOW", "VIEWS", "WEATHER_INPUTS"]

NOW: Final = "2013-12-30T15:00:00+00:00"
"""The story's present: ten in the morning in New York, with the day's departures ahead."""

DELAYED_AFTER_MINUTES: Final = 15

_HOUR: Final = 3600

VIEWS: Final[dict[str, dict[str, Any]]] = {
    "weather": {
        "entity": "airport",
        "ttl_seconds": 12 * _HOUR,
        "description": "Hourly weather at New York's airports",
        "owner": "flight-ops",
        "features": [
            {"name": "temp", "dtype": "float64", "description": "temperature, °F"},
            {"name": "dewp", "dtype": "float64", "description": "dew point, °F"},
            {"name": "humid", "dtype": "float64", "description": "relative humidity, %"},
            {"name": "wind_speed", "dtype": "float64", "description": "mph"},
            {"name": "wind_gust", "dtype": "float64", "description": "mph; mostly not reported"},
            {"name": "precip", "dtype": "float64", "description": "inches in the hour"},
            {"name": "pressure", "dtype": "float64", "description": "sea level, millibars"},
            {"name": "visib", "dtype": "float64", "description": "miles"},
        ],
    },
    "carrier_history": {
        "entity": "carrier",
        "ttl_seconds": 48 * _HOUR,
        "description": "A carrier's punctuality over the last day and week",
        "owner": "flight-ops",
        "features": [
            {"name": "flights_24h", "dtype": "int64"},
            {"name": "delayed_rate_24h", "dtype": "float64"},
            {"name": "mean_delay_24h", "dtype": "float64", "description": "minutes"},
            {"name": "delayed_rate_7d", "dtype": "float64"},
        ],
    },
    "plane_history": {
        "entity": "tailnum",
        "ttl_seconds": 30 * 24 * _HOUR,
        "description": "A plane's recent departures and its make",
        "owner": "flight-ops",
        "features": [
            {
                "name": "last_delay",
                "dtype": "float64",
                "description": "minutes, of its last departure",
            },
            {"name": "flights_30d", "dtype": "int64"},
            {"name": "delayed_rate_30d", "dtype": "float64"},
            {"name": "built", "dtype": "int64", "description": "year"},
            {"name": "seats", "dtype": "int64"},
            {"name": "manufacturer", "dtype": "string"},
        ],
    },
}

INPUTS: Final = (
    *(f"weather:{f['name']}" for f in VIEWS["weather"]["features"]),
    *(f"carrier_history:{f['name']}" for f in VIEWS["carrier_history"]["features"]),
    "plane_history:last_delay",
    "plane_history:flights_30d",
    "plane_history:delayed_rate_30d",
    "plane_history:built",
    "plane_history:seats",
    "request:distance",
    "request:sched_hour",
    "request:weekday",
)
"""Model inputs in order: twenty columns from three views and the request itself."""

WEATHER_INPUTS: Final = tuple(name for name in INPUTS if name.startswith("weather:"))
