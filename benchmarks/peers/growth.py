"""Does the cost of a request stay flat as views, versions and entities grow?"""

from __future__ import annotations

import base64
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from _harness import Group, Report
from _world import Model, alternate, feast, ours, put_view, sdk, timed

__all__ = ["growth"]

VIEWS = (10, 100, 1000)
VERSIONS = (1, 10, 50)
ENTITIES = (1_000, 10_000, 100_000, 1_000_000)


def growth(folder: Path, model: Model, rounds: int) -> Report:
    """One prediction or one read, before and after the store has grown."""
    report = Report(
        "peers_growth",
        "The same request while everything around it grows; × limit is against the smallest size.",
    )
    quick = rounds < 10
    with ExitStack() as stack:
        api = stack.enter_context(ours(model))
        asked = json.dumps({"entity_id": "user_7"}).encode()

        def once() -> Any:
            return api.http.request("POST", "/predict/gbdt", asked)

        def stage(group: Group, name: str) -> None:
            fresh = Group(name, name)
            alternate(fresh, {name: timed(once)}, rounds * 10)
            group.samples |= fresh.samples

        views = Group("POST /predict, by number of feature views", f"{VIEWS[0]} views")
        have = 2
        for count in VIEWS[: 2 if quick else None]:
            for index in range(have, count):
                put_view(api, f"extra{index}", 20)
            have = count
            stage(views, f"{count} views")
        report.add(views)

        versions = Group("POST /predict, by number of versions", f"{VERSIONS[0]} versions")
        body = {
            "format": "onnx",
            "artifact_base64": base64.b64encode(model.onnx).decode(),
            "features": [f"v20:f{i}" for i in range(20)],
        }
        have = 1
        for count in VERSIONS[: 2 if quick else None]:
            for _ in range(have, count):
                api.call("POST", "/models/gbdt/versions", body)
            have = count
            stage(versions, f"{count} versions")
        report.add(versions)

        entities = Group("POST /predict, by number of entities", f"{ENTITIES[0]:,} entities")
        online, keep = sdk(api)
        keep.keeping = False
        have = 1000
        features = {f"f{j}": j + 0.5 for j in range(20)}
        for count in ENTITIES[: 2 if quick else None]:
            for start in range(have, count, 10_000):
                online.write(
                    "v20",
                    [
                        {"entity_id": f"user_{i}", "features": features}
                        for i in range(start, min(start + 10_000, count))
                    ],
                )
            have = count
            stage(entities, f"{count:,} entities")
        report.add(entities)
    with ExitStack() as stack:
        worker, _, _ = stack.enter_context(feast(folder))
        group = Group("Feast SDK read of 10 × 20, by number of feature views", "2 views")
        have = 2
        for count in (2, *VIEWS[: 1 if quick else 2]):
            if count > have:
                worker.call("views", count=count - have)
                have = count
            group.samples[f"{count} views"] = worker.call(
                "read", entities=10, width=20, repeat=rounds * 2
            )
        report.add(group)
    return report
