"""Rebuilds: the online store of a million entities from the history, by two workers.

    python -m benchmarks.rebuild

20 float64 features; a tenth of the entities were written a second time in part. Chunks are run by two
processes, as the state machine runs them side by side. Redis and the emulation of AWS are on the same cores.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple

from benchmarks._harness import Group, Report
from benchmarks._house import house
from benchmarks.backfill import FEATURES, source
from benchmarks.batch import require

BUDGET_SECONDS = 60.0
"""For a million entities on two cores."""
TRIES = 6
"""Retries of a worker, as many as the state machine has for one chunk."""
_LATER = 600_000_000


def compact(made: Any) -> None:
    """Make files of all that is in the log."""
    from neuralstream_core.history.compaction import Compactor, view_lookup
    from neuralstream_core.history.log import HistoryLog
    from neuralstream_core.history.manifest import Heads
    from neuralstream_core.objects import Objects
    from neuralstream_core.table import Table
    from neuralstream_core.time import system_clock
    from neuralstream_lambda.wiring import dynamodb_client

    def later() -> int:
        return system_clock() + _LATER

    settings = made.settings
    objects = Objects(made.s3)
    table = Table(dynamodb_client(), settings.history_table, dependency="history")
    log = HistoryLog(table, lambda: objects, settings.data_bucket, settings.namespace, later)
    views = view_lookup(made.table, settings.namespace, later)
    heads = Heads(table, settings.namespace)
    Compactor(log, heads, views, objects, settings.data_bucket, later).run()


def work(settings: Any, job_id: str, chunks: Sequence[Any]) -> tuple[float, int]:
    """Do chunks in this process, again where Redis did not answer in time, as the state machine does; its CPU
    seconds, and how many were done again.
    """
    from neuralstream_core.errors import Unavailable
    from neuralstream_lambda.batch import tasks

    began, again, left = time.process_time(), 0, list(chunks)
    while left:
        try:
            tasks(settings).run({"task": "chunk", "job_id": job_id, "chunk": left[0]})
            del left[0]
        except Unavailable:
            again += 1
            if again > TRIES:
                raise
    return time.process_time() - began, again


class Rebuilt(NamedTuple):
    """One rebuild: seconds by the clock, CPU seconds of both workers, chunks, those that were done again."""

    seconds: float
    spent: float
    chunks: int
    again: int


def rebuilt(entities: int) -> Rebuilt:
    """Write entities, flush Redis, and fill it again from the history."""
    from redis import Redis

    from neuralstream_lambda.batch import rebuilds
    from tests.support.backfilling import Backfilling

    with house(FEATURES) as made, ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        backfilling = Backfilling(made)
        backfilling.run(made.put("in/a.parquet", source(entities, "parquet")), "user")
        part = made.put("in/b.parquet", source(entities // 10, "parquet"))
        backfilling.run(part, "user", features={"f0": "f1", "f1": "f0"})
        compact(made)
        settings = made.settings
        server = Redis(settings.redis_host, settings.redis_port)
        before = made.store.read_one("user", "user-0000007")
        server.flushall()
        job = rebuilds(settings).submit("user", "benchmark")
        began, cpu = time.perf_counter(), time.process_time()
        planned = made.task("plan", job.job_id)
        chunks = made.chunks(planned)
        running = [pool.submit(work, settings, job.job_id, chunks[at::2]) for at in range(2)]
        done = [each.result() for each in running]
        made.task("finish", job.job_id)
        seconds = time.perf_counter() - began
        spent = time.process_time() - cpu + sum(each for each, _ in done)
        require(made.store.read_one("user", "user-0000007") == before)
        require(server.dbsize() == entities, server.dbsize())
    return Rebuilt(seconds, spent, len(chunks), sum(again for _, again in done))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--entities", type=int, default=1_000_000)
    entities = parser.parse_args().entities
    seconds, spent, chunks, again = rebuilt(entities)
    report = Report(
        "rebuild",
        f"The online store of {entities:,} entities × {FEATURES} float64 features from the history, a tenth "
        f"of them written twice: {chunks} chunks by two processes, with Redis and S3 on the same cores.",
    )
    group = Group("a rebuild", "NeuralStream", rows=entities)
    group.samples["NeuralStream"] = [seconds]
    group.notes["rate"] = (
        f"{entities / seconds:,.0f} entities/s by the clock, {entities / spent:,.0f} per core"
        f" (budget: {BUDGET_SECONDS:.0f} s for a million)"
    )
    group.notes["chunks done again, Redis having been too slow"] = again
    report.add(group)
    return report.save() + (seconds > BUDGET_SECONDS * entities / 1_000_000)


if __name__ == "__main__":
    raise SystemExit(main())
