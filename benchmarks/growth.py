"""Does the cost of an operation stay flat as views, versions, models, entities and history grow?

    python benchmarks/growth.py [--quick] [--only views versions models entities files rows rebuild]

Requests go over HTTP to a laptop stack. Views, versions and models are copies of one, put into the registry's
table directly. × limit is against the smallest size, measured minutes earlier; a budget is
there where the cost must be flat, and where it grows the note says by what.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from _harness import Group, Report
from _http import Http, Laptop
from _stores import store

from benchmarks import backfill, compaction, rebuild, training_set
from neuralstream_core.features._codec import Codec
from neuralstream_core.features.writes import GivenColumns
from neuralstream_core.history.entries import Part
from neuralstream_core.history.log import SLOT
from neuralstream_core.redis import connect
from neuralstream_core.registry.records import (
    META,
    ModelRecord,
    Stage,
    VersionRecord,
    from_item,
    model_item,
    model_key,
    version_item,
    version_key,
)
from neuralstream_core.settings import RedisSettings
from neuralstream_core.table import Item, Table, marshal
from neuralstream_local.stack import Stack

WIDTH = 20
FLAT = 2.0
"""Times the cost at the smallest size that an operation may have that must not grow."""
CALLS = 60
EMULATED = "with the emulation, which looks at every item of a table where DynamoDB reads a page of an index"
LISTED = 1_000
"""Copies up to which such a query is measured: with more it takes longer than our client waits."""
TABLE, NAMESPACE = "neuralstream-local", "default"
DAY = 86_400_000_000
WORKLOAD = (
    "The same operation while everything around it grows; × limit is against the smallest size. Requests"
    " over HTTP"
    " to a laptop stack, whose registry is an emulation of DynamoDB that keeps its items in Python. A"
    " budget is"
    " there where the cost must be flat; where it grows the note says by what."
)


# -- a stack, and copies of what is in it ------------------------------------------------------------


class Grown(Laptop):
    """A laptop stack with a view of 20 features, 500 entities and a linear model of it in production."""

    def begin(self) -> None:
        self.put_view("v", WIDTH)
        names = [f"f{i}" for i in range(WIDTH)]
        rows = [
            {"entity_id": f"user_{i}", "features": dict.fromkeys(names, 0.5)} for i in range(500)
        ]
        self.call("POST", "/features/write", {"feature_view": "v", "rows": rows})
        self.call("POST", "/models/bench/versions", self.registration())
        self.call("POST", "/models/bench/promote/v1", {})
        self.dynamodb = self.client("dynamodb")
        self.table = Table(self.dynamodb, TABLE)

    def registration(self) -> dict[str, Any]:
        artifact = io.BytesIO()
        np.savez(artifact, coef=np.ones(WIDTH), intercept=np.array(0.0))
        return {
            "format": "linear",
            "features": [f"v:f{i}" for i in range(WIDTH)],
            "artifact_base64": base64.b64encode(artifact.getvalue()).decode(),
        }

    def client(self, service: str) -> Any:
        import boto3

        environ = self.stack.environ
        build: Any = boto3.client
        return build(
            service,
            endpoint_url=self.stack.aws_endpoint,
            region_name=environ["AWS_REGION"],
            aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
        )

    def put_all(self, items: list[Item]) -> None:
        """Items into the registry's table, 25 at a time."""
        for start in range(0, len(items), 25):
            puts = [
                {"PutRequest": {"Item": {k: marshal(v) for k, v in item.items()}}}
                for item in items[start : start + 25]
            ]
            self.dynamodb.batch_write_item(RequestItems={TABLE: puts})

    def requests(self) -> dict[str, Callable[[], object]]:
        """The requests that serve: each must cost the same whatever else there is."""
        ids = [f"user_{i}" for i in range(10)]
        features = {f"f{i}": i + 0.5 for i in range(WIDTH)}
        rows = [{"entity_id": one, "features": features} for one in ids]
        return {
            "read 10 × 20": self.post("/features/batch", {"feature_view": "v", "entity_ids": ids}),
            "write 10 × 20": self.post("/features/write", {"feature_view": "v", "rows": rows}),
            "predict": self.post("/predict/bench", {"entity_id": "user_7"}),
        }

    def post(self, path: str, body: Any) -> Callable[[], object]:
        data = json.dumps(body).encode()
        return lambda: self.http.request("POST", path, data)

    def get(self, path: str) -> Callable[[], object]:
        return lambda: self.http.request("GET", path)


@contextmanager
def grown() -> Iterator[Grown]:
    with Stack() as stack:
        made = Grown(stack, Http(stack.port))
        made.begin()
        yield made


class Groups:
    """A group for each operation, with a case for each size.

    Args:
        what: of which there are more and more.
        sizes: smallest first.
    """

    def __init__(self, what: str, sizes: tuple[int, ...]) -> None:
        self._what, self._first, self._last = what, f"{sizes[0]:,}", f"{sizes[-1]:,}"
        self._groups: dict[str, Group] = {}

    def add(self, operation: str, size: int, samples: list[float], grows: str = "") -> None:
        """Seconds at one size.

        Args:
            grows: why it may take longer; without it the budget is `FLAT`.
        """
        if operation not in self._groups:
            group = Group(f"{operation}, by number of {self._what}", self._first)
            group.budgets = {} if grows else {self._last: FLAT}
            group.notes = {"grows": grows} if grows else {}
            self._groups[operation] = group
        self._groups[operation].samples[f"{size:,}"] = samples

    def measure(
        self, size: int, cases: Mapping[str, Callable[[], object]], grows: str = ""
    ) -> None:
        """Each case `CALLS` times, in turn."""
        for call in cases.values():
            call()
        samples: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(CALLS):
            for name, call in cases.items():
                start = time.perf_counter()
                call()
                samples[name].append(time.perf_counter() - start)
        for name, found in samples.items():
            self.add(name, size, found, grows)

    def report(self, report: Report) -> None:
        for group in self._groups.values():
            report.add(group)


# -- what grows --------------------------------------------------------------------------------------


def views(report: Report, quick: bool) -> None:
    """Copies of one feature view."""
    sizes = (10, 100) if quick else (10, 100, 1_000, 10_000)
    groups = Groups("feature views", sizes)
    with grown() as made:
        template = made.table.get(f"VIEW#{NAMESPACE}#v", META) or {}
        have = 1
        for size in sizes:
            made.put_all([view_copy(template, number) for number in range(have, size)])
            have = size
            groups.measure(size, made.requests())
            if size <= LISTED:
                listed = {"list a page of 10 views": made.get("/features/views?limit=10")}
                groups.measure(size, listed, EMULATED)
    groups.report(report)


def view_copy(template: Item, number: int) -> Item:
    view = json.loads(template["view"]) | {"name": f"w{number}", "generation": f"g{number}"}
    plain = {name: value for name, value in template.items() if name != "dependents"}
    return {
        **plain,
        "PK": f"VIEW#{NAMESPACE}#w{number}",
        "GSI1SK": f"w{number}",
        "view": json.dumps(view),
        "generation": f"g{number}",
    }


def versions(report: Report, quick: bool) -> None:
    """Copies of one version of the model that predicts."""
    sizes = (1, 10) if quick else (1, 10, 100, 1_000)
    groups = Groups("versions", sizes)
    with grown() as made:
        of_model = model_key(NAMESPACE, "bench")
        first = from_item(VersionRecord, made.table.get(of_model, version_key("v1")) or {})
        have = 1
        for size in sizes:
            copies = [
                first.model_copy(update={"version": f"v{number}", "stage": Stage.STAGING})
                for number in range(have + 1, size + 1)
            ]
            made.put_all([version_item(NAMESPACE, copy) for copy in copies])
            have = size
            model = from_item(ModelRecord, made.table.get(of_model, META) or {})
            latest = model.model_copy(update={"latest_version": f"v{size}"})
            made.put_all([model_item(NAMESPACE, latest)])
            asked = {
                "predict": made.requests()["predict"],
                "get the model": made.get("/models/bench"),
                "list a page of one version": made.get("/models/bench/versions?limit=1"),
            }
            groups.measure(size, asked)
    groups.report(report)


def models(report: Report, quick: bool) -> None:
    """Copies of a model without its versions."""
    sizes = (10, 100) if quick else (10, 100, 1_000, 10_000)
    groups = Groups("models", sizes)
    with grown() as made:
        stored = made.table.get(model_key(NAMESPACE, "bench"), META) or {}
        model = from_item(ModelRecord, stored)
        have = 1
        for size in sizes:
            copies = [
                model.model_copy(update={"name": f"copy{number}"}) for number in range(have, size)
            ]
            made.put_all([model_item(NAMESPACE, copy) for copy in copies])
            have = size
            groups.measure(size, {"predict": made.requests()["predict"]})
            if size <= LISTED:
                listed = {"list a page of 10 models": made.get("/models?limit=10")}
                groups.measure(size, listed, EMULATED)
    groups.report(report)


def entities(report: Report, quick: bool) -> None:
    """Entities of one view, written by the library."""
    sizes = (1_000, 10_000) if quick else (1_000, 10_000, 100_000, 1_000_000)
    groups = Groups("entities", sizes)
    with grown() as made:
        port = connect(RedisSettings(redis_port=made.stack.redis.port))
        online = store(port, made.table, NAMESPACE)
        have = 500
        for size in sizes:
            for start in range(have, size, 10_000):
                ids = [f"user_{i}" for i in range(start, min(start + 10_000, size))]
                columns = {f"f{j}": np.full(len(ids), j + 0.5) for j in range(WIDTH)}
                online.write_columns("v", ids, columns)
            have = size
            groups.measure(size, made.requests())
        port.close()
    groups.report(report)


def files(report: Report, quick: bool) -> None:
    """One compaction of 1,000 new rows of one day, beside files of so many other days.

    A run asks for eleven minutes of the log, and writes the manifest anew, which has 290 bytes a file.
    """
    sizes = (1, 10) if quick else (1, 10, 100, 1_000)
    groups = Groups("files in the history", sizes)
    with compaction.house() as house:
        house.compactor.run()
        have = 0
        for size in sizes:
            if size > have:
                append_days(house, have + 1, size)
                house.compactor.run()
                have = size
            samples: list[float] = []
            for turn in range(2 if quick else 5):
                house.append(1_000, 100 * size + turn)
                start = time.perf_counter()
                done = house.compactor.run()
                samples.append(time.perf_counter() - start)
                if done.rows != 1_000:
                    raise RuntimeError(f"{done.rows} rows")
            groups.add("compact 1,000 rows of one day", size, samples)
    groups.report(report)


def append_days(house: compaction.House, first: int, last: int) -> None:
    """A row of each of so many days before the day that is written to."""
    view = house.view
    codec = Codec(view, "default", 1000)
    days = range(first, last + 1)
    times = np.array([compaction.DAY - day * DAY for day in days], np.int64)
    given = GivenColumns(
        [f"user-{day}" for day in days], {name: np.zeros(len(days)) for name in view.names}, times
    )
    packed = given.pack(codec, house.now)
    keys = [key.removeprefix(codec.prefix) for key in packed.keys]
    version = view.schema_version
    house.log.append(
        [Part(view.name, view.generation, version, f"days-{first}", keys, packed.rows)]
    )
    house.now += 10 * SLOT


def rows(report: Report, quick: bool) -> None:
    """A training set of 10,000 labels over more and more rows of history."""
    sizes = (10_000, 100_000) if quick else (100_000, 1_000_000, 10_000_000)
    groups = Groups("rows in the history", sizes)
    grows = "every row of the days before the last label is read, in bounded memory"
    for size in sizes:
        with TemporaryDirectory() as name:
            training_set.made(Path(name), "4 groups", size, 10_000)
            runs = [training_set.measured("NeuralStream, per cell", Path(name)) for _ in range(3)]
            samples = [run["seconds"] for run in runs]
            groups.add("training set of 10,000 labels", size, samples, grows)
    groups.report(report)


def rebuilds(report: Report, quick: bool) -> None:
    """CPU time of a rebuild per 1,000 entities."""
    sizes = (1_000, 10_000) if quick else (10_000, 100_000)
    groups = Groups("entities", sizes)
    for size in sizes:
        found = backfill.alone(rebuild.rebuilt, size)
        groups.add("rebuild, CPU time per 1,000 entities", size, [found.spent / size * 1000])
    groups.report(report)


ALL: Mapping[str, Callable[[Report, bool], None]] = {
    "views": views,
    "versions": versions,
    "models": models,
    "entities": entities,
    "files": files,
    "rows": rows,
    "rebuild": rebuilds,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, nothing saved")
    parser.add_argument("--only", nargs="*", choices=list(ALL))
    given = parser.parse_args()
    report = Report("growth", WORKLOAD)
    for name in given.only or ALL:
        ALL[name](report, given.quick)
    return report.save(quick=given.quick or bool(given.only))


if __name__ == "__main__":
    raise SystemExit(main())
