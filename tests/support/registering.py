"""What stands in for parts of registration where a test is about something else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neuralstream_core.registry.records import FeatureRef, Format, Signature
from neuralstream_core.serving.binding import bind
from neuralstream_core.serving.runtimes import load

__all__ = ["InProcess", "NoProfiles"]


class InProcess:
    """A validator that tries artifacts right here: these come from the tests themselves."""

    def validate(self, kind: Format, data: bytes, features: Sequence[FeatureRef], /) -> Signature:
        runtime = load(kind, data)
        if features:
            bind(runtime.signature, features)
        return runtime.signature


class NoProfiles:
    """No version here has a baseline."""

    def profile(self, *_: Any) -> bytes:
        raise NotImplementedError
