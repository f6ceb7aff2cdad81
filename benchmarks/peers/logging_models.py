"""From a fitted scikit-learn pipeline to its first served prediction: ours beside MLflow's."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from _env import ensure
from _harness import Group, Report
from _http import Http
from _servers import Worker, free_port, running
from _world import Model, alternate, timed
from workers._pipeline import ASKED, fitted, lines_of, rows

from neuralstream_client import NeuralStream
from neuralstream_local.stack import Stack

__all__ = ["log_model"]

LIMIT = "joblib: saved, loaded, asked"
REQUIREMENTS = {"pip_requirements": ["scikit-learn", "pandas"]}
"""Without them MLflow finds out by loading the model in a process of its own."""
CHECKS = {
    "NeuralStream": "the conversion compared with the pipeline on {rows} rows before the upload; the"
    " stored file"
    " inspected, loaded and run again on rows sent along; columns and types of each request",
    "MLflow": "the input example run through the saved pipeline; columns and types of each request"
    " against the inferred signature",
}


def log_churn(ns: NeuralStream, pipeline: Any, X: Any, y: Any, name: str) -> Any:  # noqa: N803 - the name that every library has for it
    """What a user writes."""
    ns.log_model(name, pipeline, X, y, promote=True)
    return ns.predict(name, features=ASKED).prediction


def log_model(folder: Path, model: Model, rounds: int) -> Report:
    """Seconds until the first answer over HTTP is there."""
    del model
    report = Report(
        "peers_log_model",
        "One fitted scikit-learn pipeline (numbers and text, both with missing values; 5,000 rows) until"
        " its first"
        " prediction over HTTP. NeuralStream: `ns.log_model(…, promote=True)` and `ns.predict` on a"
        " laptop stack"
        " that runs, or is started as well. MLflow: `mlflow.sklearn.log_model` into SQLite and a folder,"
        " `mlflow models serve --env-manager local` until it is ready (asked every 0.2 s), one request."
        " Libraries"
        " are imported before the clock starts, except those of what is started.",
    )
    table, labels = rows()
    pipeline = fitted(table, labels)
    wanted = pipeline.predict(pd.DataFrame([ASKED]).astype(table.dtypes))[0]
    names = map("churn{}".format, count())

    def by_joblib() -> None:
        joblib.dump(pipeline, folder / "model.joblib")
        joblib.load(folder / "model.joblib").predict(table.head(1))

    def on(ns: NeuralStream) -> None:
        require_equal(log_churn(ns, pipeline, table, labels, next(names)), wanted)

    def with_a_stack() -> float:
        start = time.perf_counter()
        with Stack() as fresh, NeuralStream(fresh.url) as ns:
            on(ns)
            return time.perf_counter() - start

    with ExitStack() as stack:
        running_stack = stack.enter_context(Stack())
        ours = stack.enter_context(NeuralStream(running_stack.url))
        log = folder / "mlflow.log"
        worker = stack.enter_context(
            Worker(ensure("mlflow"), "mlflow_worker.py", str(folder), log=log)
        )
        cases: dict[str, Callable[[], float]] = {
            LIMIT: timed(by_joblib),
            "NeuralStream": timed(lambda: on(ours)),
            "NeuralStream, stack started too": with_a_stack,
            "MLflow": lambda: by_mlflow(worker, folder, (next(names), {}), wanted),
            "MLflow, requirements given": lambda: by_mlflow(
                worker, folder, (next(names), REQUIREMENTS), wanted
            ),
        }
        group = Group("fitted pipeline to first served prediction", LIMIT)
        alternate(group, cases, 2 if rounds < 10 else 5)
        facts = worker.call("facts")
        proven = ours.log_model(next(names), pipeline, table, labels).report
    group.notes["lines as formatted, NeuralStream"] = lines_of(__file__, "log_churn")
    group.notes["lines as formatted, MLflow"] = (
        f"{facts['lines']}, the command that serves, and the request"
    )
    group.notes["checked, NeuralStream"] = CHECKS["NeuralStream"].format(
        rows=f"{sum(proven.rows.values()):,}"
    )
    group.notes[f"checked, MLflow {facts['version']}"] = CHECKS["MLflow"]
    report.add(group)
    return report


def by_mlflow(worker: Worker, folder: Path, model: tuple[str, Any], wanted: Any) -> float:
    """Log, serve, ask once.

    Args:
        model: its name, and options of ``log_model``.
    """
    start = time.perf_counter()
    uri, port = worker.call("log", name=model[0], options=model[1])["uri"], free_port()
    python = ensure("mlflow")
    environ = {
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder.resolve()}/mlflow.db",
    }
    command = [
        python.parent / "mlflow", "models", "serve", "-m", uri, "-p", str(port),
        "-h", "127.0.0.1", "--env-manager", "local", "-w", "1",
    ]  # fmt: skip
    with running(command, port, "/ping", log=folder / "mlflow-serve.log", env=environ):
        body = json.dumps({"dataframe_records": [ASKED]}).encode()
        answer = json.loads(Http(port).request("POST", "/invocations", body))
        took = time.perf_counter() - start
    require_equal(answer["predictions"][0], wanted)
    return took


def require_equal(found: Any, wanted: Any) -> None:
    """End the run where another prediction than the pipeline's was served."""
    if found != wanted:
        raise RuntimeError(f"served {found!r}, the pipeline says {wanted!r}")
