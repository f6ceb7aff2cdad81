"""A model on real storage and the batch function's tasks, driven as the state machine drives them."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from neuralstream_core.features import Catalog, OnlineStore, ViewSpec
from neuralstream_core.features.services import FeatureServices
from neuralstream_core.redis import RedisPort
from neuralstream_core.registry.artifacts import ArtifactStore
from neuralstream_core.registry.issuer import Issuer, countdown
from neuralstream_core.registry.registrar import Registrar
from neuralstream_core.registry.registration import Registration
from neuralstream_core.registry.registry import Registry
from neuralstream_core.serving.batch.records import PredictJob
from neuralstream_core.serving.batch.requests import JobSpec
from neuralstream_core.settings import RedisSettings
from neuralstream_core.table import Table
from neuralstream_core.time import system_clock
from neuralstream_lambda.batch import BatchSettings, submission, tasks
from neuralstream_lambda.jobs import jobs
from tests.support.registering import InProcess, NoProfiles

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NAMESPACE = "jobs"


def linear(coef: Any, intercept: Any = 0.0, **more: Any) -> bytes:
    """A linear model's artifact."""
    out = io.BytesIO()
    np.savez(out, coef=np.array(coef, float), intercept=np.array(intercept, float), **more)
    return out.getvalue()


@dataclass
class JobHouse:
    """What a test declares views and models in, and runs jobs with."""

    settings: BatchSettings
    table: Table
    s3: S3Client
    port: RedisPort
    catalog: Catalog = field(init=False)

    def __post_init__(self) -> None:
        self.catalog = Catalog(self.table, NAMESPACE, system_clock)
        self.store = OnlineStore(self.port, self.catalog, system_clock, NAMESPACE)
        self.registry = Registry(self.table, NAMESPACE, system_clock)
        self.services = FeatureServices(self.table, NAMESPACE, system_clock, self.catalog)
        self.registrar = Registrar(
            self.registry,
            ArtifactStore(self.s3, self.settings.data_bucket),
            self.catalog,
            self.services,
            InProcess(),
            NoProfiles(),
        )

    def view(self, name: str, entity: Any = "user_id", **dtypes: str) -> None:
        features = [{"name": feature, "dtype": dtype} for feature, dtype in dtypes.items()]
        spec = {"entity": entity, "features": features}
        self.catalog.put(name, ViewSpec.model_validate(spec))

    def write(self, view: str, rows: Mapping[Any, Mapping[str, Any]]) -> None:
        self.store.write(
            view, [{"entity_id": e, "features": dict(cells)} for e, cells in rows.items()]
        )

    def register(self, model: str, data: bytes, features: Sequence[str], **more: Any) -> str:
        body = {
            "format": more.pop("format", "linear"),
            "artifact_base64": base64.b64encode(data).decode(),
            **({"features": list(features)} if features else {}),
            **more,
        }
        registration = Registration.model_validate_json(json.dumps(body))
        return self.registrar.register(model, registration, by()).version.version

    def serve(self, model: str, data: bytes, features: Sequence[str], **more: Any) -> str:
        version = self.register(model, data, features, **more)
        self.registry.promote(model, version, by())
        return version

    def users(self, count: int = 100) -> None:
        """Users ``u0`` … with features ``a = i`` and ``b = 2 i``, and the model ``sum`` = a + b + 1."""
        self.view("user", a="float64", b="float64")
        self.write("user", {f"u{i}": {"a": float(i), "b": 2.0 * i} for i in range(count)})
        self.serve("sum", linear([1.0, 1.0], 1.0), ["user:a", "user:b"])

    def put(self, key: str, data: str | bytes) -> str:
        """Store an input below the prefix of jobs; its URI."""
        body = data.encode() if isinstance(data, str) else data
        key = f"jobs/{key}"
        self.s3.put_object(Bucket=self.settings.data_bucket, Key=key, Body=body)
        return f"s3://{self.settings.data_bucket}/{key}"

    def get(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def written(self, prefix: str = "jobs/out/") -> list[str]:
        """Keys of the objects below ``prefix``."""
        listed = self.s3.list_objects_v2(Bucket=self.settings.data_bucket, Prefix=prefix)
        return sorted(entry["Key"] for entry in listed.get("Contents", []))

    def submit(self, source: str, model: str = "sum", **more: Any) -> PredictJob:
        spec = {
            "model": model,
            "input": source,
            "output": f"s3://{self.settings.data_bucket}/jobs/out/",
            **more,
        }
        return submission(self.settings).submit(JobSpec.model_validate(spec), "tests")

    def task(self, task: str, job_id: str, **more: Any) -> dict[str, Any]:
        return tasks(self.settings).run({"task": task, "job_id": job_id, **more})

    def chunks(self, planned: Mapping[str, Any]) -> list[Any]:
        found: list[Any] = json.loads(self.get(f"s3://{planned['bucket']}/{planned['key']}"))
        return found

    def run(self, source: str, model: str = "sum", **more: Any) -> PredictJob:
        """Submit a job and do all of its tasks, as the state machine does."""
        job = self.submit(source, model, **more)
        planned = self.task("plan", job.job_id)
        for chunk in self.chunks(planned) if planned["status"] == "RUNNING" else ():
            self.task("chunk", job.job_id, chunk=chunk)
        self.task("finish", job.job_id)
        return self.job(job.job_id)

    def job(self, job_id: str) -> PredictJob:
        return jobs(self.settings).get(job_id)

    def manifest(self, job: PredictJob) -> Any:
        assert job.outcome is not None
        assert job.outcome.manifest is not None
        return json.loads(self.get(job.outcome.manifest))

    def rows(self, job: PredictJob) -> list[Any]:
        """Output rows of a JSONL job, in manifest order."""
        parts = [self.get(part["uri"]) for part in self.manifest(job)["parts"]]
        return [json.loads(line) for part in parts for line in part.splitlines()]

    def errors(self, job: PredictJob) -> list[Any]:
        parts = [self.get(part["uri"]) for part in self.manifest(job)["errors"]]
        return [json.loads(line) for part in parts for line in part.splitlines()]


def by() -> Issuer:
    """Somebody."""
    return Issuer("tests", None, countdown(20.0))


@pytest.fixture
def batch_settings(
    table_name: str, history_table: str, bucket: str, redis_settings: RedisSettings
) -> BatchSettings:
    """Settings of the batch function on this test's own storage."""
    return BatchSettings(
        namespace=NAMESPACE,
        redis_host=redis_settings.redis_host,
        redis_port=redis_settings.redis_port,
        table=table_name,
        data_bucket=bucket,
        history_table=history_table,
    )


@pytest.fixture
def job_house(
    batch_settings: BatchSettings, table: Table, s3: Any, redis_port: RedisPort
) -> JobHouse:
    return JobHouse(batch_settings, table, s3, redis_port)


def csv(*ids: str) -> str:
    return "entity_id\n" + "".join(f"{i}\n" for i in ids)
