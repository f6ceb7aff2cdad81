"""A read beside Feast's while the number of feature views grows; ours alone is in benchmarks/growth.py."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from _harness import Group, Report
from _world import Model, alternate, feast, ours, put_view, sdk, timed

from neuralstream_core.features import BlockRead

__all__ = ["growth"]

VIEWS = (2, 10, 100)


def growth(folder: Path, model: Model, rounds: int) -> Report:
    """Libraries in the caller's process, in alternation at each size."""
    report = Report(
        "peers_growth",
        "The same read of 10 × 20 through each library while the number of feature views grows.",
    )
    with ExitStack() as stack:
        api = stack.enter_context(ours(model))
        worker, _, _ = stack.enter_context(feast(folder))
        online, _ = sdk(api)
        block = [BlockRead("v20", [f"user_{i}" for i in range(10)], None)]
        have = VIEWS[0]
        for count in VIEWS[: 2 if rounds < 10 else None]:
            if count > have:
                for index in range(have, count):
                    put_view(api, f"extra{index}", 20)
                worker.call("views", first=have, count=count - have)
                have = count
            group = Group(f"SDK read, 10 × 20, {count} views", "NeuralStream", rows=10)
            alternate(
                group,
                {
                    "NeuralStream": timed(lambda: online.read_blocks(block)),
                    "Feast": lambda: worker.call("read", entities=10, width=20, repeat=1)[0],
                },
                rounds * 2,
            )
            report.add(group)
    return report
