"""The child process in which an artifact nobody trusts is loaded and run for the first time.

``python -m neuralstream_core.registry.trial`` reads one line of JSON (`Task`) and then the artifact from
standard input, and answers one line of JSON (`Outcome`). Before it touches the artifact it gives up the
right to more than the task's memory and processor time, to write files and to leave a core dump. What the
artifact does to this process, it does to nobody else; `neuralstream_core.registry.validation` reads the
remains.

Memory is bounded by ``RLIMIT_AS`` on top of what the imports took. Where the system has no such limit
(macOS accepts and ignores it) only time is bounded.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from neuralstream_core.errors import ArtifactRejected, Invalid
from neuralstream_core.registry.records import FeatureRef, Format, Signature
from neuralstream_core.types import Record

if TYPE_CHECKING:
    import numpy as np

    from neuralstream_core.serving.runtimes import Runtime

__all__ = ["Outcome", "Task", "try_artifact"]

_ROWS: Final = 2
_SAMPLES: Final = {
    "float32": (0.5, 1.5),
    "float64": (0.5, 1.5),
    "int64": (1, 2),
    "timestamp": (1_700_000_000_000_000, 1_700_000_001_000_000),
    "bool": (False, True),
    "string": ("a", "b"),
}
_OUT_OF_MEMORY: Final = ("bad_alloc", "allocate", "out of memory")


class Task(Record):
    """What to try: ``memory`` in bytes, ``seconds`` of processor time."""

    format: Format
    features: tuple[FeatureRef, ...]
    memory: int
    seconds: int


class Outcome(Record):
    """How it went: a signature or a reason."""

    signature: Signature | None = None
    reason: str | None = None


def try_artifact(kind: Format, data: bytes, features: Sequence[FeatureRef]) -> Signature:
    """Inspect, load, bind to ``features`` and run on typed sample rows; measure what that takes.

    Raises:
        ArtifactRejected: with the reason.
    """
    from neuralstream_core.serving.binding import bind
    from neuralstream_core.serving.footprint import load_measured, run_measured
    from neuralstream_core.serving.runtimes import trial_inputs

    runtime, footprint = load_measured(kind, data)
    inputs = trial_inputs(runtime.signature)
    if features:
        binding = bind(runtime.signature, features)
        inputs = binding.columns([_sample(ref) for ref in features], None)
    footprint = run_measured(footprint, lambda: _run(runtime, inputs))
    return runtime.signature.model_copy(update={"footprint": footprint})


def _run(runtime: Runtime, inputs: dict[str, np.ndarray]) -> None:
    try:
        predictions = runtime.run(inputs)
    except Invalid as error:
        raise ArtifactRejected(f"a run on sample rows failed: {error.detail}") from None
    if len(predictions.values) != _ROWS:
        raise ArtifactRejected(
            f"{_ROWS} sample rows gave {len(predictions.values)} predictions, not one each"
        )


def _sample(ref: FeatureRef) -> np.ndarray:
    import numpy as np

    values = _SAMPLES[ref.dtype]
    dtype = object if ref.dtype == "string" else ref.dtype.replace("timestamp", "int64")
    column = np.array(values, dtype=dtype)
    return column if ref.size == 1 else np.repeat(column[:, None], ref.size, axis=1)


def _confine(memory: int, seconds: int) -> None:
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_AS: _mapped() + memory,
    }
    for limit, value in limits.items():
        with suppress(ValueError, OSError):  # a system without this limit, or with a lower one
            resource.setrlimit(limit, (value, value))


def _mapped() -> int:
    """Bytes of address space in use; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):
        return 0
    return pages * resource.getpagesize()


def _attempt(task: Task, data: bytes) -> Outcome:
    try:
        return Outcome(signature=try_artifact(task.format, data, task.features))
    except ArtifactRejected as error:
        starved = any(sign in error.detail for sign in _OUT_OF_MEMORY)
        return Outcome(reason=_too_big(task) if starved else error.detail)
    except MemoryError:
        return Outcome(reason=_too_big(task))
    except Exception as error:  # noqa: BLE001 - whatever the artifact provoked is a reason to refuse it
        return Outcome(reason=f"loading it failed ({type(error).__name__})")


def _too_big(task: Task) -> str:
    return f"it needs more than {task.memory // 2**20} MiB of memory to load and run"


def main() -> None:
    """Read the task, do it, answer."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(
        os.open(os.devnull, os.O_WRONLY), 1
    )  # native code that prints must not garble the answer
    task = Task.model_validate_json(sys.stdin.buffer.readline())
    if task.format is Format.ONNX:
        import onnxruntime  # noqa: F401 - its own memory is not the artifact's
    import neuralstream_core.serving.binding
    import neuralstream_core.serving.footprint
    import neuralstream_core.serving.runtimes

    if task.format is Format.ONNX:
        neuralstream_core.serving.footprint.warm_up()
    _confine(task.memory, task.seconds)
    outcome = _attempt(task, sys.stdin.buffer.read())
    answer.write(outcome.model_dump_json())
    answer.flush()
    os._exit(0)  # native destructors of a broken model are not worth waiting for


if __name__ == "__main__":
    main()
