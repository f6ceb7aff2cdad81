"""Artifacts and what runs them. No format here can execute code from the artifact.

`load` inspects the bytes of an artifact, loads it and runs it once. An ONNX artifact that was inspected at
registration is not inspected again: artifacts are addressed by their digest
(docs/decisions/0010-onnx-inspection.md). ONNX Runtime is imported by the first `load` of an ONNX artifact.
"""

from __future__ import annotations

from neuralstream_core.registry.records import Format, Signature
from neuralstream_core.runtimes.runtime import (
    DATATYPES,
    FLOATS,
    LABELS,
    Bounds,
    Findings,
    Predictions,
    Runtime,
    concatenated,
    sigmoid,
    softmax,
)

__all__ = [
    "DATATYPES",
    "FLOATS",
    "LABELS",
    "Bounds",
    "Predictions",
    "Runtime",
    "concatenated",
    "load",
    "sigmoid",
    "softmax",
]


def load(
    format: Format | str,  # noqa: A002 - the registry's name for it
    data: bytes,
    bounds: Bounds | None = None,
    recorded: Signature | None = None,
) -> Runtime:
    """Inspect, load and run an artifact once on blank rows, within ``bounds``.

    Args:
        recorded: what registration recorded of the same bytes. If its ``zipmap_inputs`` is set, an
            ONNX artifact has passed the inspection and is not inspected again.

    Raises:
        ArtifactRejected: with the reason.
    """
    if format == Format.ONNX:
        from neuralstream_core.runtimes._onnx import OnnxRuntime

        if recorded is not None and recorded.zipmap_inputs is not None:
            findings = Findings(recorded.classes, recorded.zipmap_inputs)
        else:
            from neuralstream_core.runtimes._onnx_inspect import inspect_onnx

            findings = inspect_onnx(data)
        return OnnxRuntime(data, findings, bounds or Bounds())
    from neuralstream_core.runtimes._linear import LinearRuntime

    return LinearRuntime(data)
