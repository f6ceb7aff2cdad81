"""The scheduled handler in a process of its own, as EventBridge Scheduler calls it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from neuralstream_core.monitoring.layout import HOUR
from neuralstream_core.time import system_clock
from tests.support.monitoring import NAMESPACE, Watched

ROOT = Path(__file__).resolve().parents[3]
RUN = """
import json, sys
import app

class Context:
    function_name = "monitoring"

print(json.dumps([app.scheduled_handler({"task": task}, Context()) for task in sys.argv[1:]]))
"""


def test_both_tasks_do_their_work_on_the_settings_of_the_template(bench, redis_server, aws):
    watched = Watched()
    bench.add_model(production_version="v1")
    bench.add_version(watched)
    bench.clock.now = system_clock() // HOUR * HOUR - 3 * HOUR // 2  # closed for good
    bench.recorder.record(watched.batch(np.random.default_rng(1), 500))
    environ = {
        **os.environ,
        **aws.environ,
        "PYTHONPATH": os.pathsep.join(
            str(ROOT / part) for part in ("functions/monitoring", "layers/core", ".")
        ),
        "NEURALSTREAM_NAMESPACE": NAMESPACE,
        "NEURALSTREAM_TABLE": bench.table.name,
        "NEURALSTREAM_DATA_BUCKET": bench.bucket,
        "NEURALSTREAM_HISTORY_TABLE": "not-used",
        "NEURALSTREAM_REDIS_HOST": redis_server.host,
        "NEURALSTREAM_REDIS_PORT": str(redis_server.port),
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN, "archive", "evaluate", "evaluate"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    archived, evaluated, again = lines[-1]
    assert archived["objects"] == 1
    assert (evaluated["windows"], again["windows"]) == (1, 0)
    emitted = [line for line in lines[:-1] if "_aws" in line]
    assert [line["Predictions"] for line in emitted if "Predictions" in line] == [[500]]
    assert [line["DriftStatus"] for line in emitted if "DriftStatus" in line] == [[0]]
    for line in emitted:
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert (directive["Namespace"], directive["Dimensions"]) == (
            "NeuralStream",
            [["model", "version"]],
        )
    assert archived["versions"] == evaluated["versions"] == 1
