"""What is no usable model is refused with its reason, in bounded memory and time, and nothing of it runs."""

from __future__ import annotations

import os
import pickle
import resource
from datetime import UTC, datetime
from pathlib import Path

import pytest

from neuralstream_core.errors import ArtifactRejected, Unavailable
from neuralstream_core.memory import resident
from neuralstream_core.registry.records import (
    FeatureRef,
    Format,
    Stage,
    VersionRecord,
    VersionStatus,
)
from neuralstream_core.registry.registration import Asked
from neuralstream_core.trial.process import (
    CHILD,
    RESERVE,
    ProcessValidator,
    trial_environment,
)
from tests.support import artifacts, hostile

AGE = FeatureRef(view="users", feature="age")
SIZE = FeatureRef(view="users", feature="size", dtype="int64")
WORD = FeatureRef(view="users", feature="word", dtype="string")
VECTOR = FeatureRef(view="users", feature="embedding", dtype="float32", size=2)


class RunsOnLoad:
    """What a pickle can hold."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.path),)


def draft(kind: Format, *features: FeatureRef) -> VersionRecord:
    """A version about to be registered."""
    return VersionRecord(
        model="m",
        version="v1",
        status=VersionStatus.READY,
        stage=Stage.STAGING,
        format=kind,
        digest="0" * 64,
        size=0,
        features=features,
        created_at=datetime.now(UTC),
        created_by="tests",
    )


def both() -> VersionRecord:
    return draft(Format.ONNX, AGE, SIZE)


@pytest.mark.parametrize(
    ("kind", "data", "features"),
    [
        (Format.ONNX, artifacts.double_sum(), (AGE, SIZE)),
        (Format.ONNX, artifacts.double_sum(), (VECTOR,)),
        (Format.LINEAR, artifacts.linear(), (AGE, SIZE)),
        (Format.ONNX, artifacts.double_sum(), ()),
    ],
    ids=["onnx", "vector", "linear", "no features"],
)
def test_a_good_artifact_gives_its_signature(
    kind: Format, data: bytes, features: tuple[FeatureRef, ...]
) -> None:
    signature = ProcessValidator().validate(draft(kind, *features), data, Asked()).signature
    assert signature.kind == "regressor"
    assert [tensor.shape for tensor in signature.inputs] == [(-1, 2)]
    assert (signature.zipmap_inputs is not None) == (kind is Format.ONNX)


@pytest.mark.parametrize(
    ("kind", "data", "features", "reason"),
    [
        (Format.ONNX, artifacts.double_sum()[:-7], (AGE, SIZE), "not a readable ONNX model"),
        (Format.LINEAR, artifacts.linear()[:-30], (AGE, SIZE), "not a readable .npz"),
        (Format.LINEAR, artifacts.zip_bomb(), (AGE,), "at most"),
        (Format.ONNX, artifacts.double_sum(), (AGE,), "takes 2 values per row"),
        (Format.ONNX, artifacts.double_sum(), (AGE, SIZE, SIZE), "3 features were given"),
        (Format.ONNX, artifacts.double_sum(), (AGE, WORD), "does not fit the input"),
        (Format.ONNX, artifacts.linear(), (AGE, SIZE), "not a readable ONNX model"),
        (Format.ONNX, b"", (AGE, SIZE), "refused"),
    ],
    ids=["cut onnx", "cut npz", "zip bomb", "few", "many", "text", "other format", "empty"],
)
def test_a_bad_artifact_is_refused_with_its_reason(
    kind: Format, data: bytes, features: tuple[FeatureRef, ...], reason: str
) -> None:
    with pytest.raises(ArtifactRejected, match=reason):
        ProcessValidator().validate(draft(kind, *features), data, Asked())


@pytest.mark.parametrize("kind", Format)
def test_a_pickle_is_refused_and_never_loaded(kind: Format, tmp_path: Path) -> None:
    sign = tmp_path / "executed"
    with pytest.raises(ArtifactRejected, match="not a readable"):
        ProcessValidator().validate(draft(kind, AGE), pickle.dumps(RunsOnLoad(sign)), Asked())
    assert not sign.exists()


def test_a_model_that_needs_10_gb_is_refused_within_the_limit() -> None:
    with pytest.raises(ArtifactRejected, match="more memory"):
        ProcessValidator().validate(draft(Format.ONNX, AGE, SIZE), artifacts.greedy(10), Asked())
    resident = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    assert resident < 2 * 1024**3


def test_a_model_that_never_ends_is_ended() -> None:
    with pytest.raises(ArtifactRejected):
        ProcessValidator(seconds=3).validate(
            draft(Format.ONNX, AGE, SIZE), artifacts.endless(), Asked()
        )


def test_what_a_model_takes_is_measured_and_not_guessed_from_its_file() -> None:
    folded, small = hostile.folds_to(100), artifacts.double_sum()
    assert len(folded) < 1000
    taken = {
        name: ProcessValidator()
        .validate(draft(Format.ONNX, AGE, SIZE), data, Asked())
        .signature.footprint
        for name, data in (("folded", folded), ("small", small))
    }
    assert taken["folded"].loaded > 90 * 2**20
    assert taken["small"].loaded < 10 * 2**20


def test_the_memory_of_a_run_is_measured() -> None:
    data = hostile.allocates_per_row(4 * 2**20)
    footprint = (
        ProcessValidator()
        .validate(draft(Format.ONNX, AGE, SIZE), data, Asked())
        .signature.footprint
    )
    assert footprint is not None
    assert 40 * 2**20 < footprint.run < 200 * 2**20  # of 12 sample rows


def test_a_model_that_takes_more_memory_than_serving_has_is_refused() -> None:
    # Two constants: each alone is a size that the inspection lets pass.
    with pytest.raises(ArtifactRejected, match="MiB of memory once it is loaded"):
        ProcessValidator(memory=3 * 2**30).validate(both(), hostile.folds_to(400, times=2), Asked())


def test_a_model_that_takes_too_long_to_load_is_refused() -> None:
    with pytest.raises(ArtifactRejected, match=r"of processor time to load|took longer than"):
        ProcessValidator(seconds=4).validate(both(), hostile.slow_to_load(60, size=1536), Asked())


def test_the_trial_gets_no_more_than_this_process_leaves_of_what_both_share() -> None:
    shared = resident() + CHILD + RESERVE + 200 * 2**20
    small, folded = artifacts.double_sum(), hostile.folds_to(300)
    assert ProcessValidator(shared=shared).validate(both(), small, Asked()).signature.inputs
    with pytest.raises(ArtifactRejected, match="memory"):
        ProcessValidator(shared=shared).validate(draft(Format.ONNX, AGE, SIZE), folded, Asked())
    with pytest.raises(Unavailable, match="no memory left"):
        ProcessValidator(shared=resident()).validate(both(), small, Asked())


def test_the_trial_sees_no_credentials() -> None:
    given = {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"}
    assert "PATH" in trial_environment(given)
    assert not [name for name in trial_environment(given) if name.startswith("AWS")]
