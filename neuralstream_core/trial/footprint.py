"""Memory and load time of a model, measured in its trial and checked against the limits of serving."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time
from typing import Final

from neuralstream_core.errors import ArtifactRejected
from neuralstream_core.memory import peak, reset_peak, resident
from neuralstream_core.registry.records import Footprint, Format
from neuralstream_core.runtimes import Runtime, load
from neuralstream_core.serving.limits import CACHE, REGISTRATION_LOAD_SECONDS, Limits

__all__ = ["load_measured", "run_measured", "warm_up"]

_IDENTITY: Final = bytes.fromhex(
    "080812003a3b0a100a01781201792208"
    "4964656e74697479120167"
    "5a110a0178120c0a0a080112060a000a020801"
    "62110a0179120c0a0a080112060a000a020801"
    "42040a00100d"
)
"""An ONNX model of one operator, from ``x`` (FP32, n by 1) to ``y``."""


def warm_up() -> None:
    """Load a model of one operator, so that the runtime's own memory is not counted as a later model's."""
    load(Format.ONNX, _IDENTITY)


def load_measured(kind: Format, data: bytes) -> tuple[Runtime, Footprint]:
    """Load an artifact as serving would.

    Returns:
        The model, and what loading it took; ``run`` is still 0.

    Raises:
        ArtifactRejected: it cannot be loaded, or takes more memory or time than serving has.
    """
    before, began = resident(), process_time()
    runtime = load(kind, data, Limits().bounds(None))
    seconds = process_time() - began
    loaded = max(len(data), resident() - before)
    if loaded > CACHE:
        raise ArtifactRejected(
            f"it takes {loaded >> 20} MiB of memory once it is loaded; "
            f"a version may take {CACHE >> 20}",
            code="model_too_large",
        )
    if seconds > REGISTRATION_LOAD_SECONDS:
        raise ArtifactRejected(
            f"it takes {seconds:.1f} s of processor time to load; "
            f"a version may take {REGISTRATION_LOAD_SECONDS:g}",
            code="model_too_large",
        )
    return runtime, Footprint(loaded=loaded, run=0, load_seconds=round(seconds, 3))


def run_measured(footprint: Footprint, run: Callable[[], object]) -> Footprint:
    """The footprint with what ``run`` takes at its height; raises what it raises."""
    reset_peak()
    idle = resident()
    run()
    return footprint.model_copy(update={"run": max(0, peak() - idle)})
