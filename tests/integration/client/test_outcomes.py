"""``ns.outcomes`` and the reports made of them, against the laptop stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from neuralstream_client import NeuralStream
from neuralstream_client.errors import DataError, Invalid
from neuralstream_local.laptop import STACK
from tests.support.stack import RunningStack
from tests.support.template import ROOT


def test_a_frame_of_outcomes_and_what_it_tells(
    ns: NeuralStream,
    served: Callable[..., tuple[str, str]],
    stack: RunningStack,
    tmp_path: Path,
) -> None:
    view, model = served(versions=2)
    ns.models.split(model, {"v1": 0.5, "v2": 0.5})
    row = {"tenure_months": 4, "monthly_charges": 79.5, "support_tickets": 3}
    users = [f"u{i}" for i in range(40)]
    ns.features.write([{"user_id": user, **row} for user in users], view=view)
    answers = [ns.predict(model, user, feature_view=view) for user in users]
    frame = pd.DataFrame(
        {
            "prediction_id": [answer.prediction_id for answer in answers],
            "label": [1.0] * 30 + [0.0] * 9 + [None],
        }
    )
    report = ns.outcomes.send(frame, model=model)
    assert (report.rows, report.accepted, report.without_label, report.requests) == (40, 39, 1, 1)
    assert sum(report.versions.values()) == 39
    by_entity = [{"user": "u39", "predicted_at": datetime.now(UTC), "label": 1}]
    assert ns.outcomes.send(by_entity, model=model, entity="user").accepted == 1
    stack.client("lambda").invoke(
        FunctionName=f"{STACK}-outcomes-scheduled", Payload=json.dumps({"task": "drain"})
    )

    found = ns.monitoring.performance(model, window="1h", series="hour")
    assert sum(one.n for one in found.versions) == 40
    assert {one.coverage for one in found.versions} == {1.0}
    right = sum((one.metrics["accuracy"].value or 0) * one.n for one in found.versions)
    assert right == pytest.approx(31)
    results = ns.models.split_results(model)
    assert results.running
    assert {one.version for one in results.versions} == {"v1", "v2"}

    def command(*words: str) -> Any:
        call = [sys.executable, "-m", "neuralstream_client", *words]
        environ = os.environ | {"NEURALSTREAM_URL": stack.url}
        return subprocess.run(
            call, capture_output=True, text=True, check=False, cwd=ROOT, env=environ
        )

    file = tmp_path / "late.csv"
    file.write_text(f"id,label\n{answers[0].prediction_id},0\n")
    sent = command("outcomes", "send", model, str(file), "--column", "prediction_id=id")
    assert sent.returncode == 0, sent.stderr
    assert "1 of 1 outcomes are kept, 0 refused" in sent.stdout
    told = command("performance", model, "--window", "1h")
    assert told.returncode == 0, told.stderr
    assert "predictions (100%) with an outcome" in " ".join(told.stdout.split())
    again = ns.monitoring.performance(model, window="1h")
    right = sum((one.metrics["accuracy"].value or 0) * one.n for one in again.versions)
    assert right == pytest.approx(30)
    told = command("models", "experiment", model)
    assert (told.returncode, results.verdict.split()[0] in told.stdout) == (0, True)


def test_a_table_that_cannot_be_sent(ns: NeuralStream) -> None:
    rows = [{"prediction_id": "m:v1:x", "label": 1}]
    with pytest.raises(DataError, match="no column 'truth'"):
        ns.outcomes.send(rows, model="m", label="truth")
    naive = [{"entity": "u", "predicted_at": datetime(2026, 1, 1), "label": 1}]  # noqa: DTZ001
    with pytest.raises(DataError, match="no time zone"):
        ns.outcomes.send(naive, model="m", entity="entity")
    with pytest.raises(Invalid) as refused:
        ns.outcomes.send(rows, model="m")
    assert refused.value.__notes__ == ["in the rows from 0 on; 0 are kept"]
    with pytest.raises(DataError, match="not both"):
        ns.outcomes.send(rows, model="m", entity="e", prediction_id="p")
