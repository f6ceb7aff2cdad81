"""A chunk worker as a process of its own, which says at every slice that it is there: to be killed.

Reads one JSON line ``{"settings","job_id","chunk"}`` and writes ``slice`` before each slice it predicts.
"""

from __future__ import annotations

import json
import sys

from neuralstream_core.objects import Objects
from neuralstream_core.serving.batch.chunks import ChunkWorker, Predictor
from neuralstream_core.serving.batch.locations import Buckets
from neuralstream_core.serving.batch.rows import InputRows
from neuralstream_core.serving.batch.splitting import Chunk
from neuralstream_core.serving.predictions import PredictionColumns
from neuralstream_lambda.batch import BatchSettings, predict_jobs, predictor
from neuralstream_lambda.wiring import s3_client


class Announcing(Predictor):
    """A predictor that announces each slice."""

    def __init__(self, inner: Predictor) -> None:
        self._inner = inner

    def predict(self, rows: InputRows) -> PredictionColumns:
        print("slice", flush=True)  # noqa: T201 - the protocol
        return self._inner.predict(rows)

    def count(self) -> None:
        self._inner.count()


def main() -> None:
    order = json.loads(sys.stdin.readline())
    settings = BatchSettings.model_validate(order["settings"])
    worker = ChunkWorker(
        predict_jobs(settings),
        Objects(s3_client()),
        Buckets(settings.data_bucket),
        settings.data_bucket,
        lambda plan: Announcing(predictor(settings, plan)),
    )
    worker.run(order["job_id"], Chunk.model_validate(order["chunk"]))
    print("done", flush=True)  # noqa: T201 - the protocol


if __name__ == "__main__":
    main()
