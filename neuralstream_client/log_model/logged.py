"""What logging a model gives back."""

from __future__ import annotations

from dataclasses import dataclass

from neuralstream_client.answers import VersionAnswer
from neuralstream_client.log_model.prepare import Report

__all__ = ["Logged"]


@dataclass(frozen=True)
class Logged:
    """A version that is READY.

    Attributes:
        record: of the registry: signature, what its check found, features, lineage.
        report: what was proven before the upload.
    """

    model: str
    version: str
    record: VersionAnswer
    report: Report
