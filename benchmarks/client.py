"""The Python client beside bare httpx: the same routes of the same laptop stack, in alternation.

    python benchmarks/client.py [--seconds 4] [--quick]

Bare httpx sends bodies that were encoded before the clock started and parses the answer's JSON. The client
also builds the body, checks it and makes the typed answer, table or report. The last group writes a frame of
1,000,000 rows × 20 features in chunks.
"""

from __future__ import annotations

import base64
import io
import time

import httpx
import numpy as np
import pandas as pd
from _harness import Group, Report, arguments
from pydantic_core import from_json

from neuralstream_client import FeatureView, NeuralStream
from neuralstream_client.wire import read_body, write_body
from neuralstream_client.writing import WritePlan
from neuralstream_local.stack import Stack

ROWS = 1_000_000
WIDTH = 20
LIMIT = "bare httpx"
OURS = "neuralstream"
BUDGETS = {OURS: 1.3}
WORKLOAD = (
    "A laptop stack of its own processes; calls over one kept connection. The limit sends bodies that "
    "were encoded before and parses the answer. Float64 features; a linear model of 20 features."
)


def frame(count: int) -> pd.DataFrame:
    draw = np.random.default_rng(7)
    columns = {f"f{i}": draw.normal(size=count) for i in range(WIDTH)}
    return pd.DataFrame({"user_id": [f"u{i}" for i in range(count)], **columns})


def model(ns: NeuralStream, view: FeatureView) -> None:
    """A linear model over all features, in production."""
    artifact = io.BytesIO()
    np.savez(artifact, coef=np.ones(WIDTH), intercept=np.array(0.0))
    registration = {
        "format": "linear",
        "features": [f"{view.name}:{feature.name}" for feature in view.features],
        "artifact_base64": base64.b64encode(artifact.getvalue()).decode(),
    }
    ns.models.register("bench", registration)
    ns.models.promote("bench", "v1")


def main() -> int:
    given = arguments(str(__doc__), 4.0)
    report = Report("client", WORKLOAD)
    with Stack() as stack, NeuralStream(stack.url) as ns, httpx.Client(timeout=60) as bare:
        data = frame(1000)
        view = FeatureView.from_frame("bench", data, entity="user_id")
        ns.features.apply(view)
        ns.features.write(data, view=view)
        model(ns, view)
        ids = data["user_id"].tolist()
        headers = {"content-type": "application/json"}

        def post(path: str, body: bytes) -> object:
            answer = bare.post(stack.url + path, content=body, headers=headers)
            return from_json(answer.raise_for_status().content)

        def compare(title, path, body, ours, rows=1):
            group = Group(title, LIMIT, rows=rows, budgets=BUDGETS)
            group.measure({LIMIT: lambda: post(path, body), OURS: ours}, given.seconds)
            report.add(group)

        compare(
            "predict, one entity",
            "/predict/bench",
            b'{"entity_id":"u7"}',
            lambda: ns.predict("bench", "u7"),
        )
        names = [feature.name for feature in view.features]
        for count in (1, 1000):
            compare(
                f"read {count} × {WIDTH}",
                "/features/batch",
                read_body(view.name, ids[:count], names),
                lambda n=count: ns.features.read(ids[:n], [f"bench:{name}" for name in names]),
                rows=count,
            )
        (chunk,) = WritePlan(view, data).chunks(1000)
        compare(
            f"write a frame of 1000 × {WIDTH}",
            "/features/write",
            write_body(view.name, chunk),
            lambda: ns.features.write(data, view=view),
            rows=1000,
        )
        report.add(whole_frame(ns, bare, stack.url, view, 20_000 if given.quick else ROWS))
    return report.save(quick=given.quick)


def whole_frame(
    ns: NeuralStream, bare: httpx.Client, url: str, view: FeatureView, count: int
) -> Group:
    """A large frame written once, each half beside the same bodies sent as they are."""
    data = frame(count)
    group = Group(f"write a frame of {count:,} × {WIDTH}, in chunks", LIMIT, rows=count // 2)
    group.samples = {LIMIT: [], OURS: []}
    for half in (data[: count // 2], data[count // 2 :]):
        bodies = [write_body(view.name, chunk) for chunk in WritePlan(view, half).chunks(5_000)]
        start = time.perf_counter()
        for body in bodies:
            bare.post(f"{url}/features/write", content=body).raise_for_status()
        group.samples[LIMIT].append(time.perf_counter() - start)
        start = time.perf_counter()
        written = ns.features.write(half, view=view)
        group.samples[OURS].append(time.perf_counter() - start)
        assert written.written == len(half)  # noqa: S101 - a benchmark of a failed write measures nothing
        group.notes["requests"] = group.notes.get("requests", 0) + written.requests
    return group


if __name__ == "__main__":
    raise SystemExit(main())
