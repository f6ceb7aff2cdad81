"""Answers about outcomes: performance and an experiment over 10⁴, 10⁵ and 10⁶ predictions with an outcome.

    python -m benchmarks.outcomes [--sizes 10000 100000 1000000] [--rounds 3] [--folder DIR]

One history holds a model of each size, compacted, and for each a hundredth more in the log. Two versions
share the traffic of 200,000 entities. Each measurement is one call in a process of its own, after one for a
tiny model that opens connections and imports what is imported late. S3 and DynamoDB are in another process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks._harness import Group, Report
from neuralstream_core.memory import peak

NAME = "bench"  # of the tables and the bucket
NAMESPACE = "test"  # of `tests.support.history.HistoryHouse`
FULL = 1_000_000
"""Predictions of the largest model in a run that is saved."""
TINY = 200
ENTITIES = 200_000
VERSIONS = ("v1", "v2")
ACCURACY = {"v1": 0.80, "v2": 0.81}
REQUEST = 5_000
MINUTE = 60_000_000
HOUR = 60 * MINUTE
LIMIT = "scikit-learn, rows in memory"
FOUR = "accuracy_score, log_loss, brier_score_loss and roc_auc_score of each version"


# -- the history ----------------------------------------------------------------------------------


def model_of(size: int) -> str:
    """The model that has so many predictions."""
    return f"m{size}"


class House:
    """A registry and a history on an AWS emulation, which `make` fills."""

    def __init__(self) -> None:
        import boto3

        from neuralstream_local.storage import create_history_table, create_registry_table
        from tests.support.features import Clock
        from tests.support.history import HistoryHouse

        dynamodb: Any = boto3.client("dynamodb")
        s3: Any = boto3.client("s3")
        s3.create_bucket(Bucket=NAME)
        create_registry_table(dynamodb, NAME)
        create_history_table(dynamodb, f"{NAME}-history")
        self.clock = Clock()
        self.now = self.clock.now
        self.history = HistoryHouse(dynamodb, s3, NAME, f"{NAME}-history", NAME, self.clock)

    def make(self, sizes: list[int]) -> None:
        """Compacted rows of every model, then the tail in the log."""
        self.clock.now = self.now - 30 * HOUR
        for size in sizes:
            self._register(model_of(size))
        self.clock.now = self.now - 6 * MINUTE
        for seed, size in enumerate(sizes):
            self._log(model_of(size), size, seed)
        self.history.compact()
        self.clock.now = self.now
        for seed, size in enumerate(sizes):
            if size > TINY:
                self._log(model_of(size), size // 100, 100 + seed)

    def download(self, folder: Path) -> None:
        """The compacted files on the local disk, for DuckDB alone."""
        from neuralstream_core.outcomes.views import internal_views

        for name, view in internal_views(NAMESPACE).items():
            (folder / name).mkdir()
            for number, file in enumerate(self.history.history.snapshot(view).files):
                data = self.history.objects.read(self.history.history.location(file))
                (folder / name / f"{number}.parquet").write_bytes(data)

    def _register(self, model: str) -> None:
        from neuralstream_core.registry.issuer import Issuer
        from neuralstream_core.registry.registry import Registry
        from tests.integration.outcomes.conftest import Outcomes

        outcomes = Outcomes(None, self.history)
        for version in VERSIONS:
            outcomes.version(model, version, classes=("no", "yes"))
        registry = Registry(self.history.registry, NAMESPACE, self.clock)
        registry.set_split(model, dict.fromkeys(VERSIONS, 0.5), Issuer("bench"))

    def _log(self, model: str, count: int, seed: int) -> None:
        """Predictions of the last twenty hours, and an outcome of each an hour later."""
        from neuralstream_core.features._codec import Codec
        from neuralstream_core.features.writes import GivenColumns
        from neuralstream_core.history.entries import Part
        from neuralstream_core.outcomes.ids import PredictionId, random_ulid
        from neuralstream_core.outcomes.views import internal_views

        draw = np.random.default_rng(seed)
        views = internal_views(NAMESPACE)

        def append(name: str, request: str, ids: list[str], times: Any, columns: Any) -> None:
            view = views[name]
            keys = [one.encode() for one in ids]
            given = GivenColumns(keys, {"model": [model] * len(ids), **columns}, times)
            rows = given.pack(Codec(view, NAMESPACE, 0), self.now).rows
            part = Part(view.name, view.generation, view.schema_version, request, keys, rows)
            self.history.log.append([part])

        for start in range(0, count, REQUEST):
            n = min(REQUEST, count - start)
            at = self.now - 20 * HOUR + np.sort(draw.integers(0, 18 * HOUR, n))
            which = draw.integers(0, 2, n).tolist()
            ids = [
                str(PredictionId(model, VERSIONS[version], random_ulid(moment)))
                for version, moment in zip(which, at.tolist(), strict=True)
            ]
            entities = draw.integers(0, ENTITIES // 2, n) * 2 + which
            said = draw.random(n)
            right = draw.random(n) < np.array([ACCURACY[v] for v in VERSIONS])[which]
            labels = ["yes" if one > 0.5 else "no" for one in said.tolist()]
            absent: list[Any] = [None] * n
            predictions = {
                "version": [VERSIONS[version] for version in which],
                "label": labels,
                "value": absent,
                "probability": said,
                "probabilities": absent,
                "entity": [f"user_{number}" for number in entities.tolist()],
                "inputs": absent,
                "weight": np.ones(n),
                "shadow": np.zeros(n, bool),
                "of": absent,
            }
            append("_predictions", f"p-{seed}-{start}", ids, at, predictions)
            other = {"yes": "no", "no": "yes"}
            truths = [
                label if ok else other[label]
                for label, ok in zip(labels, right.tolist(), strict=True)
            ]
            outcomes = {
                "label": truths,
                "value": absent,
                "entity": absent,
                "predicted_at": np.ma.masked_all(n, np.int64),
            }
            append("_outcomes", f"o-{seed}-{start}", ids, at + HOUR, outcomes)


@contextmanager
def house(sizes: list[int], folder: Path) -> Iterator[None]:
    """A filled history; its settings are in the environment, its files in ``folder``."""
    from neuralstream_local.aws import client_environ
    from neuralstream_local.children import Child

    child = Child("neuralstream_local.aws_server")
    try:
        os.environ.update(client_environ(child.ready()["endpoint"]))
        os.environ.update(
            {
                "NEURALSTREAM_NAMESPACE": NAMESPACE,
                "NEURALSTREAM_TABLE": NAME,
                "NEURALSTREAM_HISTORY_TABLE": f"{NAME}-history",
                "NEURALSTREAM_DATA_BUCKET": NAME,
                "NEURALSTREAM_OUTCOMES_MEMORY_MB": "1536",  # as template.yaml has it
                "NEURALSTREAM_OUTCOMES_THREADS": "2",
                "POWERTOOLS_LOG_LEVEL": "CRITICAL",
            }
        )
        made = House()
        made.make(sizes)
        made.download(folder)
        yield
    finally:
        child.stop()


# -- what is measured -----------------------------------------------------------------------------


def handler(route: str) -> Callable[[int, Path], Callable[[], int]]:
    """The function's handler; the call answers how many predictions it measured."""

    def prepare(size: int, _folder: Path) -> Callable[[], int]:
        from tests.support.functions import load_function

        module = load_function("outcomes")

        def ask(model: str) -> int:
            event = {
                "routeKey": route,
                "queryStringParameters": {"model": model, "window": "24h"}
                if "performance" in route
                else {},
                "pathParameters": {"name": model},
                "headers": {},
                "requestContext": {
                    "requestId": "r",
                    "authorizer": {
                        "lambda": {"principal": "bench", "scopes": "monitoring models:read"}
                    },
                },
                "body": None,
            }
            answer = module.lambda_handler(event, None)
            if answer["statusCode"] != 200:
                raise RuntimeError(answer["body"])
            return sum(version["n"] for version in json.loads(answer["body"])["versions"])

        ask(model_of(TINY))
        return lambda: ask(model_of(size))

    return prepare


def from_parquet(size: int, folder: Path) -> Callable[[], int]:
    """DuckDB alone: the same files on the local disk, joined by id into numpy arrays."""
    import duckdb

    def run() -> int:
        rows = joined(duckdb.connect(config={"threads": 2}), size, folder)
        return len(rows["truth"])

    return run


def joined(connection: Any, size: int, folder: Path) -> Any:
    """Arrays of a model's predictions and outcomes."""
    model = model_of(size)
    own = f"_entity >= '{model}:' AND _entity < '{model};'"
    return connection.execute(
        "SELECT version, p.label = 'yes' AS said, probability, o.label = 'yes' AS truth FROM"  # noqa: S608
        f" (SELECT * FROM '{folder}/_predictions/*.parquet' WHERE {own}) p JOIN"
        f" (SELECT * FROM '{folder}/_outcomes/*.parquet' WHERE {own}) o USING (_entity)"
    ).fetchnumpy()


def in_memory(size: int, folder: Path) -> Callable[[], int]:
    """scikit-learn over arrays that are there already."""
    import duckdb
    from sklearn import metrics

    rows = joined(duckdb.connect(), size, folder)
    columns = [
        [
            np.array(rows[name][rows["version"] == version])
            for name in ("truth", "said", "probability")
        ]
        for version in VERSIONS
    ]

    def run() -> int:
        for truth, said, probability in columns:
            metrics.accuracy_score(truth, said)
            metrics.log_loss(truth, probability)
            metrics.brier_score_loss(truth, probability)
            metrics.roc_auc_score(truth, probability)
        return sum(len(truth) for truth, _, _ in columns)

    return run


CASES: Mapping[str, Callable[[int, Path], Callable[[], int]]] = {
    LIMIT: in_memory,
    "DuckDB, the same Parquet joined": from_parquet,
    "NeuralStream, GET /monitoring/performance": handler("GET /monitoring/performance"),
    "NeuralStream, GET /models/{name}/ab-split/results": handler(
        "GET /models/{name}/ab-split/results"
    ),
}


def child(case: str, size: int, folder: Path) -> None:
    """Run one case and print what it took."""
    run = CASES[case](size, folder)
    start, cpu = time.perf_counter(), time.process_time()
    rows = run()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(json.dumps({"seconds": seconds, "cpu": cpu, "megabytes": peak() / 1e6, "rows": rows}))


def measured(case: str, size: int, folder: Path) -> dict[str, float]:
    words = [sys.executable, "-m", "benchmarks.outcomes", "--case", case, "--sizes", str(size)]
    run = subprocess.run(
        [*words, "--folder", str(folder)], stdout=subprocess.PIPE, check=True, text=True
    )
    found: dict[str, float] = json.loads(run.stdout)
    tail = size // 100 if case.startswith("NeuralStream") else 0
    if found["rows"] != size + tail:
        raise RuntimeError(f"{case}: {found['rows']} rows of {size + tail}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000, FULL])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--case", choices=list(CASES))
    given = parser.parse_args()
    if given.case:
        child(given.case, given.sizes[0], given.folder)
        return 0
    report = Report(
        "outcomes",
        "How good the predictions of two versions were, over the history in S3: compacted files and a"
        " hundredth"
        f" more in the log. {LIMIT}: {FOUR}. DuckDB: the same files on the local disk, the two tables"
        f" joined by"
        " id, nothing deduplicated. NeuralStream besides: outcomes by entity, corrections, an interval of"
        " every"
        " measure, calibration; of an experiment the always-valid comparison by entity. One call in a"
        " process"
        " of its own.",
    )
    with (
        tempfile.TemporaryDirectory(dir=given.folder) as name,
        house([TINY, *given.sizes], Path(name)),
    ):
        for size in given.sizes:
            group = Group(f"{size:,} predictions with an outcome", LIMIT, rows=size)
            results: dict[str, list[dict[str, float]]] = {case: [] for case in CASES}
            for turn in range(given.rounds):
                for case in list(CASES)[:: 1 if turn % 2 else -1]:
                    results[case].append(measured(case, size, Path(name)))
            for case, found in results.items():
                group.samples[case] = [each["seconds"] for each in found]
                cpu, most = (median(each[what] for each in found) for what in ("cpu", "megabytes"))
                group.notes[case] = f"{cpu:.2f} CPU seconds, peak memory {most:,.0f} MB"
            report.add(group)
    return report.save(quick=max(given.sizes) < FULL)


if __name__ == "__main__":
    sys.exit(main())
