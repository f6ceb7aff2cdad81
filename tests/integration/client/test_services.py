"""Feature services and roles with the client and the command: trained, logged, served, predicted."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner

from neuralstream_client import AsyncNeuralStream, FeatureService, NeuralStream
from neuralstream_client.command.app import app
from neuralstream_client.errors import Conflict, DataError, Invalid, NotFound
from neuralstream_client.log_model import LogModelError
from tests.support.stack import RunningStack

TEMPS = {"JFK": 1.0, "LAX": 2.0, "ORD": 5.0, "SEA": 7.0}


@pytest.fixture
def weather(ns: NeuralStream, name: str) -> str:
    """A view of airports with a temperature each, and a service of it at origin and destination."""
    ns.features.apply({"name": name, "entity": "airport", "features": {"temp": "float64"}})
    rows = [{"airport": airport, "temp": temp} for airport, temp in TEMPS.items()]
    ns.features.write(rows, view=name)
    ns.services.apply(FeatureService(name=name, features=listed(name)))
    return name


def listed(view: str) -> list[str]:
    return [f"{view}@origin:temp", f"{view}@destination:temp"]


def flights(columns: list[str]) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(1)
    temps = rng.choice(list(TEMPS.values()), (300, 2))
    return pd.DataFrame(temps, columns=columns), temps @ np.array([1.0, 100.0]) + 3.0


def expected(origin: str, destination: str) -> float:
    return TEMPS[origin] + 100.0 * TEMPS[destination] + 3.0


def test_services_are_applied_read_and_deleted(ns: NeuralStream, weather: str) -> None:
    (again,) = ns.services.apply({"name": weather, "features": listed(weather)})
    assert (again.version, again.features) == (1, listed(weather))
    (turned,) = ns.services.apply([{"name": weather, "features": listed(weather)[::-1]}])
    assert turned.version == 2
    assert ns.services.get(weather).version == 2
    assert ns.services.get(weather, 1).features == listed(weather)
    assert weather in [one.name for one in ns.services.list(page_size=1)]
    assert FeatureService.of(turned).features == turned.features

    with pytest.raises(Conflict, match="services that list it"):
        ns.features.delete(weather)
    with pytest.raises(Invalid, match="there is no feature view"):
        ns.services.apply({"name": weather, "features": ["nothing:temp"]})
    with pytest.raises(DataError, match="is wrong"):
        ns.services.apply({"name": weather, "feature": []})
    assert ns.services.delete(weather).version == 2
    with pytest.raises(NotFound, match=r"ns\.services\.list"):
        ns.services.get(weather)
    ns.features.delete(weather)


def test_the_asynchronous_client_has_the_same(stack: RunningStack, weather: str) -> None:
    async def versions() -> list[int]:
        async with AsyncNeuralStream(stack.url) as ns:
            return [one.version async for one in ns.services.list() if one.name == weather]

    assert asyncio.run(versions()) == [1]


@pytest.mark.parametrize("apart", [False, True])
def test_a_model_is_logged_by_a_service_and_served_by_roles(
    ns: NeuralStream, weather: str, apart: bool
) -> None:
    """Also a pipeline whose columns are inputs of their own in the exported graph."""
    rows, y = flights(["origin_temp", "destination_temp"])
    model: Any = LinearRegression()
    if apart:
        columns = make_column_transformer((StandardScaler(), list(rows.columns)))
        model = make_pipeline(columns, LinearRegression())
    model.fit(rows, y)
    logged = ns.log_model(weather, model, rows, y, features=f"service:{weather}", promote=True)
    version = ns.models.version(weather, logged.version)
    assert version.features == listed(weather)
    assert version.feature_services == [f"{weather}@1"]

    one = ns.predict(
        weather, entities={"origin": "JFK", "destination": "LAX"}, return_features=True
    )
    assert one.prediction == pytest.approx(expected("JFK", "LAX"))
    assert one.features == dict(zip(listed(weather), [1.0, 2.0], strict=True))
    assert one.entity_id == {"origin": "JFK", "destination": "LAX"}
    by_id = ns.predict(weather, {"origin": "JFK", "destination": "LAX"})
    assert by_id.prediction == one.prediction

    frame = pd.DataFrame({"origin": ["JFK", "SEA"], "destination": ["ORD", "LAX"]})
    many = ns.predict_many(weather, frame, entities=["origin", "destination"])
    assert many.predictions == pytest.approx([expected("JFK", "ORD"), expected("SEA", "LAX")])
    assert many.entity_ids[0] == {"origin": "JFK", "destination": "ORD"}
    frame["flight"] = ["UA 1", "UA 2"]
    same = ns.predict_many(weather, frame, entity_id="flight", entities=["origin", "destination"])
    assert same.predictions == many.predictions
    assert same.entity_ids == ["UA 1", "UA 2"]

    drift = ns.monitoring.drift(weather, window="1h")
    assert set(listed(weather)) <= {series.feature for series in drift.series}
    (counted,) = ns.monitoring.stats(weather, window="1h").versions
    assert list(counted.features) == listed(weather)
    (use,) = ns.models.lineage(weather).versions[0].feature_views
    assert use.roles == ["destination", "origin"]


def test_a_service_stands_beside_values_of_the_request(ns: NeuralStream, weather: str) -> None:
    rows, _ = flights(["origin_temp", "destination_temp"])
    rows["extra"] = np.arange(len(rows), dtype=float)
    y = rows.sum(axis=1).to_numpy()
    named = [f"service:{weather}@1", "request:extra"]
    ns.log_model(weather, LinearRegression().fit(rows, y), rows, y, features=named, promote=True)
    one = ns.predict(
        weather, entities={"origin": "JFK", "destination": "LAX"}, features={"extra": 4.0}
    )
    assert one.prediction == pytest.approx(7.0)
    assert ns.models.version(weather, one.version).feature_services == [f"{weather}@1"]


def test_columns_in_another_order_than_the_service_are_refused(
    ns: NeuralStream, weather: str
) -> None:
    rows, y = flights(listed(weather)[::-1])
    model = LinearRegression().fit(rows, y)
    with pytest.raises(LogModelError, match="into the order of the list"):
        ns.log_model(weather, model, rows, y, features=f"service:{weather}@1")
    with pytest.raises(LogModelError, match="lists 2 features for 1 columns"):
        ns.log_model(
            weather, LinearRegression().fit(rows[rows.columns[:1]], y), rows[rows.columns[:1]], y,
            features=f"service:{weather}@1",
        )  # fmt: skip
    with pytest.raises(NotFound):
        ns.log_model(weather, model, rows, y, features=f"service:{weather}@9")
    with pytest.raises(DataError, match="service:name@2"):
        ns.log_model(weather, model, rows, y, features=f"service:{weather}@newest")


def test_the_command_applies_and_shows_services(
    stack: RunningStack, weather: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURALSTREAM_URL", stack.url)
    monkeypatch.setattr(sys, "argv", ["neuralstream"])

    def run(*words: str, status: int = 0) -> Any:
        ended = CliRunner().invoke(app, ["services", *words, "--json"])
        assert ended.exit_code == status, ended.output
        return json.loads(ended.stdout) if status == 0 else ended.output

    file = tmp_path / "services.yaml"
    text = "\n".join(f"      - {feature}" for feature in listed(weather)[::-1])
    file.write_text(f"services:\n  - name: {weather}\n    features:\n{text}\n")
    (applied,) = run("apply", str(file))["services"]
    assert applied["version"] == 2
    assert run("apply", str(file))["services"] == [applied]
    assert run("show", weather)["features"] == listed(weather)[::-1]
    assert run("show", weather, "--version", "1")["features"] == listed(weather)
    assert applied in run("list")["services"]
    assert run("delete", weather)["name"] == weather
    assert "neuralstream services list" in str(run("show", weather, status=1))
