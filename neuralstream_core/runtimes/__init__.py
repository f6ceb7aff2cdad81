"""Artifacts and what runs them. No format here can execute code from the artifact.

`inspect` looks at bytes without loading them; `load` inspects, loads and runs once. ONNX Runtime is
imported by the first `load` of an ONNX artifact, never before.
"""

from __future__ import annotations

from neuralstream_core.registry.records import Format
from neuralstream_core.runtimes._base import (
    DATATYPES,
    FLOATS,
    LABELS,
    MAX_ARTIFACT,
    Bounds,
    Predictions,
    Runtime,
    concatenated,
    sigmoid,
    softmax,
    trial_inputs,
)

__all__ = [
    "DATATYPES",
    "FLOATS",
    "LABELS",
    "MAX_ARTIFACT",
    "Bounds",
    "Predictions",
    "Runtime",
    "concatenated",
    "inspect",
    "load",
    "sigmoid",
    "softmax",
    "trial_inputs",
]


def inspect(format: Format | str, data: bytes) -> None:  # noqa: A002 - the registry's name for it
    """Static, bounded checks of an artifact.

    Raises:
        ArtifactRejected: with the reason.
    """
    if format == Format.ONNX:
        from neuralstream_core.runtimes._onnx_inspect import inspect_onnx

        inspect_onnx(data)
    else:
        from neuralstream_core.runtimes._linear import inspect_linear

        inspect_linear(data)


def load(
    format: Format | str,  # noqa: A002 - the registry's name for it
    data: bytes,
    bounds: Bounds | None = None,
) -> Runtime:
    """Inspect, load and run an artifact once on blank rows, within ``bounds``.

    Raises:
        ArtifactRejected: with the reason.
    """
    if format == Format.ONNX:
        from neuralstream_core.runtimes._onnx import OnnxRuntime

        return OnnxRuntime(data, bounds or Bounds())
    from neuralstream_core.runtimes._linear import LinearRuntime

    return LinearRuntime(data)
