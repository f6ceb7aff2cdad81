"""Drift reports, and what each thing weighs: import time, installed size, resident memory."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from _env import ensure, installed_mb
from _harness import ROOT, Group, Report
from _servers import Worker
from _world import Model, alternate, feast, feast_server, model_server, ours, timed

from neuralstream_core.monitoring.binning import build_profile
from neuralstream_core.monitoring.counting import count
from neuralstream_core.monitoring.drift import drift_report
from neuralstream_core.monitoring.layout import named_window
from neuralstream_core.registry.records import FeatureRef
from neuralstream_core.time import system_clock
from neuralstream_local.stack import Stack
from tests import wheel

__all__ = ["drift", "footprint"]

BUILT = ROOT / ".aws-sam" / "build"
"""Where `make bundle` puts functions and layers."""


def drift(folder: Path, model: Model, rounds: int) -> Report:
    """A drift report over 20 columns × 100,000 rows on both sides."""
    del model
    rows, columns = 100_000, 20
    report = Report(
        "peers_drift",
        f"A drift report over {columns} numeric columns, {rows:,} reference and {rows:,} current rows, PSI. "
        "`from raw columns` does what Evidently does: bins the reference, counts, reports. In production "
        "NeuralStream counted when it predicted; a report is then made `from counters`.",
    )
    random = np.random.default_rng(0)
    features = [FeatureRef(view="v", feature=f"f{i}") for i in range(columns)]
    names = [ref.label for ref in features]
    reference = {n: random.normal(size=rows) for n in names}
    current = [random.normal(0.1, 1, size=rows) for _ in names]
    status = np.zeros((rows, columns), np.uint8)
    window = named_window("1h", system_clock())
    profile = build_profile(features, reference)

    def counts(profile: Any) -> Any:
        return count(profile, current, [1] * columns, status, None, None, rows)

    def from_raw() -> Any:
        fresh = build_profile(features, reference)
        return drift_report("m", "v1", window, fresh, counts(fresh)).model_dump_json()

    counted = counts(profile)
    with Worker(ensure("evidently"), "evidently_worker.py", log=folder / "evidently.log") as worker:
        group = Group(
            f"{columns} columns × {rows:,} rows", "NeuralStream, from counters", rows=rows
        )
        alternate(
            group,
            {
                "NeuralStream, from counters": timed(
                    lambda: drift_report("m", "v1", window, profile, counted).model_dump_json()
                ),
                "NeuralStream, from raw columns": timed(from_raw),
                "Evidently": lambda: worker.call("report", rows=rows, columns=columns, repeat=1)[0],
            },
            max(3, rounds // 8),
        )
        group.notes["Evidently"] = worker.call("facts")["version"]
        report.add(group)
    return report


def footprint(folder: Path, model: Model, rounds: int) -> Report:
    """Import time, installed size and resident memory of the serving processes."""
    report = Report(
        "peers_footprint",
        "Import: a fresh interpreter until the statement returns, bytecode cached. Installed: files of the "
        "environment. Memory: resident set of the server with its children after a hundred requests.",
    )
    ours_path = [str(ROOT / part) for part in (".", "layers/core", "functions/predict")]
    client = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import neuralstream_client"
    imports = {
        "NeuralStream client": (Path(sys.executable), client),
        "NeuralStream predict function": (
            Path(sys.executable),
            f"import sys; sys.path[:0] = {ours_path!r}; import app",
        ),
        "Feast SDK": (ensure("feast"), "import feast"),
        "MLServer": (ensure("mlserver"), "import mlserver, mlserver_lightgbm"),
        "MLflow": (ensure("mlflow"), "import mlflow.pyfunc, lightgbm"),
        "BentoML": (ensure("bentoml"), "import bentoml, lightgbm"),
        "Evidently": (ensure("evidently"), "import evidently, evidently.presets"),
    }
    environ = {
        **{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
        "NEURALSTREAM_TABLE": "bench",
        "NEURALSTREAM_DATA_BUCKET": "bench",
        "AWS_DEFAULT_REGION": "us-east-1",
    }

    def importing(python: Path, statement: str) -> Any:
        return timed(
            lambda: subprocess.run(
                [python, "-W", "ignore", "-c", statement],
                check=True, capture_output=True, env=environ,
            )
        )  # fmt: skip

    group = Group("import", "bare interpreter")
    alternate(
        group,
        {"bare interpreter": importing(Path(sys.executable), "pass")}
        | {name: importing(*how) for name, how in imports.items()},
        max(3, rounds // 8),
    )
    for peer in ("feast", "mlserver", "mlflow", "bentoml", "evidently"):
        (site,) = (ensure(peer).parent.parent / "lib").glob("python3.*/site-packages")
        group.notes[f"installed, {peer}"] = f"{installed_mb(site):,.0f} MB"
    group.notes["installed, NeuralStream client with what it needs"] = client_size(folder)
    for what, parts in (
        ("predict function", ("PredictFunction", "CoreLayer", "InferenceLayer")),
        ("batch function", ("BatchFunction", "CoreLayer", "InferenceLayer", "BatchLayer")),
    ):
        if all((BUILT / name).is_dir() for name in parts):
            sizes = {name: installed_mb(BUILT / name) for name in parts}
            group.notes[f"installed, NeuralStream {what} with its layers"] = (
                f"{sum(sizes.values()):,.0f} MB ("
                + ", ".join(f"{name} {size:,.0f}" for name, size in sizes.items())
                + ")"
            )
    with Stack() as idle:
        parts_of_it: dict[str, Any] = {
            "AWS emulation": idle.aws, "worker": idle.worker, "gateway": idle.gateway,
            "Redis": idle.redis,
        }  # fmt: skip
        group.notes["memory, NeuralStream laptop stack that nobody has asked yet"] = ", ".join(
            f"{name} {_rss(part.pid)}" for name, part in parts_of_it.items()
        )
    with ExitStack() as stack:
        api = stack.enter_context(ours(model))
        for _ in range(100):
            api.call("POST", "/predict/gbdt", {"entity_id": "user_7"})
        group.notes["memory, NeuralStream gateway with all functions"] = _rss(api.stack.gateway.pid)
        _, _, repo = stack.enter_context(feast(folder))
        server = feast_server(folder, repo)
        stack.enter_context(server)
        for peer in ("mlserver", "mlflow", "bentoml"):
            _, pid, _, _ = stack.enter_context(model_server(peer, folder, model))
            group.notes[f"memory, {peer}"] = _rss(pid)
    report.add(group)
    return report


def client_size(folder: Path) -> str:
    """Megabytes of the client's wheel installed alone, without the compiled files that Python adds."""
    build = [sys.executable, "-m", "uv", "build", "--quiet", "--wheel", "--out-dir", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True)
    (made,) = folder.glob("neuralstream-*.whl")
    wheel.installed(made, folder / "client")
    size = wheel.megabytes(folder / "client")
    return f"{size:.1f} MB (limit {wheel.MAX_MEGABYTES})"


def _rss(pid: int) -> str:
    import psutil

    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    return f"{sum(one.memory_info().rss for one in family) / 1e6:,.0f} MB"
