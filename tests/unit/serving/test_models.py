"""The model cache: loads once, keeps no failure, stays within its bounds, frees what it evicts."""

from __future__ import annotations

import gc
import hashlib
import threading
import weakref
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from onnx import helper, load_from_string

from neuralstream_core.errors import ArtifactRejected, Unavailable
from neuralstream_core.registry.records import (
    FeatureRef,
    Footprint,
    Format,
    Signature,
    Stage,
    VersionRecord,
    VersionStatus,
)
from neuralstream_core.runtimes import DATATYPES, Bounds, load
from neuralstream_core.serving.models import DiskCache, Models
from neuralstream_core.serving.servable import Servable
from tests.support import hostile
from tests.support.alone import printed
from tests.support.artifacts import double_sum
from tests.support.poll import eventually
from tests.support.trained import linear, rows, sklearn_onnx


@dataclass
class Store:
    """Artifacts by digest, that a test counts, blocks or breaks."""

    data: dict[str, bytes] = field(default_factory=dict)
    calls: int = 0
    broken: bool = False
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def version(self, number: int, model: str = "m") -> VersionRecord:
        data = linear([float(number)])
        digest = hashlib.sha256(data).hexdigest()
        self.data[digest] = data
        now = datetime(2026, 1, 1, tzinfo=UTC)
        return VersionRecord(
            model=model,
            version=f"v{number}",
            status=VersionStatus.READY,
            stage=Stage.PRODUCTION,
            format=Format.LINEAR,
            digest=digest,
            size=len(data),
            features=(FeatureRef(view="v", feature="a"),),
            created_at=now,
            created_by="tests",
        )

    def get(self, digest: str) -> bytes:
        self.calls += 1
        self.gate.wait(10)
        if self.broken:
            raise Unavailable("S3 is down", dependency="artifacts")
        return self.data[digest]


def answer(servable: Servable) -> float:
    return float(servable.runtime.run(servable.bound.row([1.0])).values[0])


def test_concurrent_first_requests_load_once() -> None:
    store = Store()
    store.gate.clear()
    models = Models(store.get)
    version = store.version(7)
    found: list[Servable] = []
    threads = [threading.Thread(target=lambda: found.append(models.get(version))) for _ in range(8)]
    for thread in threads:
        thread.start()
    eventually(lambda: store.calls == 1)
    store.gate.set()
    for thread in threads:
        thread.join(10)
    assert store.calls == 1
    assert len({id(servable.runtime) for servable in found}) == 1
    assert [answer(servable) for servable in found] == [7.0] * 8


def test_a_failure_is_everybodys_answer_and_nobodys_memory() -> None:
    store = Store(broken=True)
    models = Models(store.get)
    version = store.version(1)
    for _ in range(2):
        with pytest.raises(Unavailable, match="S3 is down"):
            models.get(version)
    store.broken = False
    assert answer(models.get(version)) == 1.0


def test_memory_is_bounded_and_the_least_recently_used_goes_and_is_freed() -> None:
    store = Store()
    size = Models(store.get)
    size.get(store.version(1))
    models = Models(store.get, max_bytes=3 * size.nbytes)
    versions = [store.version(i) for i in range(1, 6)]
    servables = {v.version: weakref.ref(models.get(v).runtime) for v in versions[:3]}
    models.get(versions[0])
    models.get(versions[3])
    assert models.nbytes <= 3 * size.nbytes
    gc.collect()
    assert servables["v2"]() is None
    assert servables["v1"]() is not None
    calls = store.calls
    models.get(versions[0])
    assert store.calls == calls
    assert answer(models.get(versions[1])) == 2.0
    assert store.calls == calls + 1


def test_what_nobody_asks_for_goes_when_another_arrives() -> None:
    store = Store()
    seconds = [0.0]
    models = Models(store.get, now=lambda: seconds[0])
    old = weakref.ref(models.get(store.version(1)).runtime)
    seconds[0] = 1000.0
    models.get(store.version(2))
    gc.collect()
    assert old() is None


def test_a_model_in_use_survives_its_eviction() -> None:
    store = Store()
    models = Models(store.get, max_bytes=1)
    servable = models.get(store.version(1))
    models.get(store.version(2))
    assert answer(servable) == 1.0


def test_one_artifact_under_two_versions_is_loaded_once_with_each_ones_features() -> None:
    store = Store()
    first = store.version(1)
    second = first.model_copy(
        update={"version": "v2", "features": (FeatureRef(view="w", feature="b"),)}
    )
    models = Models(store.get)
    one, two = models.get(first), models.get(second)
    assert one.runtime is two.runtime
    assert (one.views[0].view, two.views[0].view) == ("v", "w")
    assert store.calls == 1


def test_a_stored_artifact_that_no_longer_loads_is_our_fault_not_the_callers() -> None:
    store = Store()
    version = store.version(1)
    store.data[version.digest] = b"damaged"
    with pytest.raises(Unavailable, match="cannot be loaded"):
        Models(store.get).get(version)


def test_the_disk_spares_the_next_process_the_download(tmp_path: Path) -> None:
    store = Store()
    version = store.version(1)
    Models(store.get, DiskCache(tmp_path / "cache")).get(version)
    assert answer(Models(store.get, DiskCache(tmp_path / "cache")).get(version)) == 1.0
    assert store.calls == 1


def test_a_damaged_file_is_fetched_again(tmp_path: Path) -> None:
    store = Store()
    version = store.version(1)
    disk = DiskCache(tmp_path)
    Models(store.get, disk).get(version)
    (tmp_path / version.digest).write_bytes(linear([666.0]))
    assert answer(Models(store.get, disk).get(version)) == 1.0
    assert store.calls == 2
    assert disk.get(version.digest) == store.data[version.digest]


def test_the_disk_is_bounded_and_keeps_the_most_recently_used(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path, max_bytes=250)
    parts = [bytes([i]) * 100 for i in range(4)]
    digests = [hashlib.sha256(part).hexdigest() for part in parts]
    for digest, part in zip(digests, parts, strict=True):
        disk.put(digest, part)
        assert sum(f.stat().st_size for f in tmp_path.iterdir()) <= 250
    assert disk.get(digests[3]) == parts[3]
    assert disk.get(digests[0]) is None
    disk.put("0" * 64, b"x" * 300)
    assert disk.get("0" * 64) is None


def test_a_disk_that_cannot_be_used_is_no_disk(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = Store()
    models = Models(store.get, DiskCache(tmp_path / "file"))
    assert answer(models.get(store.version(1))) == 1.0


def test_a_model_that_loads_too_slowly_is_given_up_and_the_next_one_loads() -> None:
    with pytest.raises(ArtifactRejected, match=r"took longer than 0\.05 s"):
        load("onnx", hostile.slow_to_load(12, size=1024), Bounds(load_seconds=0.05))
    assert load("onnx", double_sum(), Bounds(load_seconds=60)).signature.kind == "regressor"


def test_room_is_made_before_a_model_of_known_size_is_loaded() -> None:
    store = Store()
    versions = [store.version(i) for i in range(1, 4)]
    signature = Models(store.get).get(versions[0]).runtime.signature
    footprint = Footprint(loaded=300 * 2**20, run=0, load_seconds=0.1)
    measured = signature.model_copy(update={"footprint": footprint})
    models = Models(store.get)
    for version in versions:
        models.get(version.model_copy(update={"signature": measured}))
    assert models.nbytes == 600 * 2**20


def test_a_version_registered_before_memory_was_measured_counts_with_what_loading_it_took() -> None:
    """In a process of its own: what other tests free meanwhile would make its growth look smaller."""
    script = """
import hashlib
from neuralstream_core.registry.records import FeatureRef, Format
from neuralstream_core.serving.models import Models
from tests.support import hostile
from tests.unit.serving.test_models import Store
data = hostile.folds_to(100)
assert len(data) < 1000
digest = hashlib.sha256(data).hexdigest()
store = Store({digest: data})
features = tuple(FeatureRef(view="v", feature=name) for name in "ab")
update = {"format": Format.ONNX, "digest": digest, "features": features}
models = Models(store.get)
models.get(store.version(1).model_copy(update=update))
print(models.nbytes)
"""
    assert int(printed(script)) > 90 * 2**20


def onnx_version(store: Store, data: bytes, signature: Signature | None) -> VersionRecord:
    digest = hashlib.sha256(data).hexdigest()
    store.data[digest] = data
    changes = {"format": Format.ONNX, "digest": digest, "features": (), "signature": signature}
    return store.version(1).model_copy(update=changes)


def before_it_was_recorded(signature: Signature) -> Signature:
    return Signature.model_validate_json(signature.model_dump_json(exclude={"zipmap_inputs"}))


def test_what_registration_inspected_serving_does_not_inspect_again() -> None:
    """Seen by a model that the inspection refuses and ONNX Runtime takes: it imports foreign operators
    but uses none."""
    recorded = load("onnx", double_sum()).signature
    model = load_from_string(double_sum())
    model.opset_import.append(helper.make_opsetid("com.foreign", 1))
    data = bytes(model.SerializeToString())
    store = Store()
    inputs = {"x": np.array([[1.0, 2.0]], np.float32)}
    for _ in range(2):
        servable = Models(store.get).get(onnx_version(store, data, recorded))
        assert servable.runtime.run(inputs).values.tolist() == [6.0]
    for signature in (None, before_it_was_recorded(recorded)):
        with pytest.raises(Unavailable, match="custom operators"):
            Models(store.get).get(onnx_version(store, data, signature))


@pytest.mark.parametrize("zipmap", [True, False])
def test_a_classifier_loaded_by_its_record_answers_as_the_inspected_one(zipmap: bool) -> None:
    data = sklearn_onnx("forest", zipmap=zipmap)
    inspected = load("onnx", data)
    recorded = Signature.model_validate_json(inspected.signature.model_dump_json())
    store = Store()
    for signature in (recorded, before_it_was_recorded(recorded)):
        runtime = Models(store.get).get(onnx_version(store, data, signature)).runtime
        assert runtime.signature == inspected.signature
        (tensor,) = runtime.signature.inputs
        inputs = {tensor.name: rows().astype(DATATYPES[tensor.datatype])}
        one, other = runtime.run(inputs), inspected.run(inputs)
        assert one.values.tolist() == other.values.tolist()
        assert one.scores is not None
        assert other.scores is not None
        assert one.scores.tolist() == other.scores.tolist()
