"""The engine of a function that predicts, built once per process from settings alone."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import Field

from neuralstream_core.errors import NeuralStreamError
from neuralstream_core.memory import function_memory, limit_growth, resident
from neuralstream_core.settings import BucketSettings, RedisSettings, TableSettings
from neuralstream_core.time import system_clock
from neuralstream_lambda.wiring import redis_port, s3_client, serving_table

if TYPE_CHECKING:
    from neuralstream_core.monitoring.profile import Profile
    from neuralstream_core.monitoring.recorder import RedisRecorder
    from neuralstream_core.serving.engine import Engine

__all__ = ["FIRST_PREDICTION", "ServingSettings", "engine", "recorder"]

FIRST_PREDICTION: Final = (
    "boto3",
    "encodings.idna",
    "onnxruntime",
    "neuralstream_core.monitoring.counting",
    "neuralstream_core.monitoring.recorder",
    "neuralstream_core.redis.cluster",
    "neuralstream_core.redis.iam",
    "neuralstream_core.registry.artifacts",
    "neuralstream_core.runtimes._linear",
    "neuralstream_core.runtimes._onnx",
    "neuralstream_core.serving.engine",
)
"""What `engine` and the first prediction import lazily, whatever the model's format and the cache's mode."""


class ServingSettings(RedisSettings, TableSettings, BucketSettings):
    """What every function needs that predicts; see `neuralstream_core.serving.inference.Limits`."""

    inference_ms: int = Field(default=2_000, ge=1, le=60_000)
    inference_tensors_ms: int = Field(default=3_000, ge=1, le=60_000)
    inference_rows_ms: int = Field(default=15_000, ge=1, le=60_000)
    inference_job_ms: int = Field(default=600_000, ge=1, le=800_000)


MEMORY_RESERVE = 64 * 1024 * 1024
"""Bytes of the function's memory that are never given to a model: beyond it, Lambda ends the process."""

CATALOG_SECONDS = 30.0
"""A served view can only grow (its models hold it), and growth is noticed by itself: no hurry."""


@cache
def recorder(settings: ServingSettings) -> RedisRecorder:
    """Where predictions are counted."""
    from neuralstream_core.monitoring.profile import Profile
    from neuralstream_core.monitoring.recorder import RedisRecorder
    from neuralstream_core.registry.artifacts import ArtifactStore

    def profile(digest: str) -> Profile | None:
        try:
            store = ArtifactStore(s3_client(), settings.data_bucket)
            return Profile.from_json(store.get_profile(digest))
        except (NeuralStreamError, ValueError):
            return None

    return RedisRecorder(redis_port(settings), profile, settings.namespace, system_clock)


@cache
def engine(settings: ServingSettings) -> Engine:
    """Deployments, model cache, online store and recorder; opens nothing until the first request."""
    from neuralstream_core.features.catalog import Catalog
    from neuralstream_core.features.store import OnlineStore
    from neuralstream_core.registry.artifacts import ArtifactStore
    from neuralstream_core.registry.registry import Registry
    from neuralstream_core.serving.deployments import Deployments
    from neuralstream_core.serving.engine import Engine
    from neuralstream_core.serving.inference import Limits
    from neuralstream_core.serving.models import DiskCache, Models
    from neuralstream_core.serving.shadowing import Shadows

    memory = function_memory(os.environ)
    if memory is not None:
        limit_growth(memory - resident() - MEMORY_RESERVE)
    namespace = settings.namespace
    table = serving_table(settings.table)
    port = redis_port(settings)
    registry = Registry(table, namespace, system_clock)

    def artifact(digest: str) -> bytes:
        return ArtifactStore(s3_client(), settings.data_bucket).get(digest)

    models = Models(
        artifact,
        DiskCache(Path(tempfile.gettempdir()) / "neuralstream-models"),
        limits=Limits(
            one=settings.inference_ms / 1000,
            tensors=settings.inference_tensors_ms / 1000,
            rows=settings.inference_rows_ms / 1000,
            job=settings.inference_job_ms / 1000,
        ),
    )
    return Engine(
        Deployments(registry.served, registry.version),
        models,
        OnlineStore(
            port,
            Catalog(table, namespace, system_clock, refresh_seconds=CATALOG_SECONDS),
            system_clock,
            namespace,
        ),
        recorder(settings),
        system_clock,
        Shadows(models, recorder(settings).prepare, system_clock),
    )
