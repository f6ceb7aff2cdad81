"""What stands in for parts of registration where a test is about something else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neuralstream_core.registry.records import FeatureRef, VersionRecord
from neuralstream_core.registry.registrar import Validated
from neuralstream_core.registry.registration import Asked, Baseline
from neuralstream_core.trial.child import try_artifact

__all__ = ["InProcess", "NoProfiles"]


class InProcess:
    """A validator that tries artifacts right here: these come from the tests themselves."""

    def validate(self, version: VersionRecord, data: bytes, asked: Asked, /) -> Validated:
        proof = try_artifact(version, data, asked)
        return Validated(proof.signature, proof.check)


class NoProfiles:
    """No version here has a baseline."""

    def fetched(self, baseline: Baseline, _: Sequence[FeatureRef], /) -> Baseline:
        return baseline

    def profile(self, *_: Any) -> bytes:
        raise NotImplementedError
