"""The child process in which an untrusted artifact is loaded and run for the first time.

``python -m neuralstream_core.trial.child`` reads one line of JSON (`Trial`) and then the artifact from
standard input, and answers one line of JSON (`TrialResult`). Before it reads the artifact it limits its own
memory and processor time and forbids itself to write files and core dumps. If the artifact crashes it,
`neuralstream_core.trial.process` tells why by the exit status.

Memory is bounded by ``RLIMIT_AS`` on top of what the imports took. Where the system has no such limit
(macOS accepts and ignores it) only time is bounded.
"""

from __future__ import annotations

import os
import resource
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Final

from neuralstream_core.errors import ArtifactRejected
from neuralstream_core.memory import peak, reset_peak, resident
from neuralstream_core.registry.records import Footprint, Format, VersionRecord
from neuralstream_core.registry.registration import Asked
from neuralstream_core.runtimes import load
from neuralstream_core.serving.inference import CACHE, REGISTRATION_LOAD_SECONDS, Limits
from neuralstream_core.trial.process import Trial, TrialResult
from neuralstream_core.trial.proof import Proof, prove

__all__ = ["try_artifact"]

_OUT_OF_MEMORY: Final = ("bad_alloc", "allocate", "out of memory")
_IDENTITY: Final = bytes.fromhex(
    "080812003a3b0a100a01781201792208"
    "4964656e74697479120167"
    "5a110a0178120c0a0a080112060a000a020801"
    "62110a0179120c0a0a080112060a000a020801"
    "42040a00100d"
)
"""An ONNX model of one operator, from ``x`` (FP32, n by 1) to ``y``."""


def try_artifact(version: VersionRecord, data: bytes, asked: Asked) -> Proof:
    """Load an artifact as serving would and prove it; its signature tells the memory and time it took.

    Raises:
        ArtifactRejected: with the reason; ``model_too_large``: more memory or time than serving has.
    """
    before, began = resident(), process_time()
    runtime = load(version.format, data, Limits().bounds(None))
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
    reset_peak()
    idle = resident()
    proof = prove(version, runtime, asked.declared, asked.check, asked.samples)
    footprint = Footprint(loaded=loaded, run=max(0, peak() - idle), load_seconds=round(seconds, 3))
    return replace(proof, signature=proof.signature.model_copy(update={"footprint": footprint}))


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


def _attempt(trial: Trial, data: bytes) -> TrialResult:
    try:
        proof = try_artifact(trial.version, data, trial.asked)
        return TrialResult(signature=proof.signature, check=proof.check)
    except ArtifactRejected as error:
        if any(sign in error.detail for sign in _OUT_OF_MEMORY):
            return TrialResult(reason=_too_big(trial))
        return TrialResult(reason=error.detail, code=error.code, errors=tuple(error.errors))
    except MemoryError:
        return TrialResult(reason=_too_big(trial))
    except Exception as error:  # noqa: BLE001 - whatever the artifact provoked is a reason to refuse it
        return TrialResult(reason=f"loading it failed ({type(error).__name__})")


def _too_big(trial: Trial) -> str:
    return f"it needs more than {trial.memory // 2**20} MiB of memory to load and run"


def main() -> None:
    """Read the trial, do it, answer."""
    answer = os.fdopen(os.dup(1), "w")
    # what native code prints must not stand in the answer
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    trial = Trial.model_validate_json(sys.stdin.buffer.readline())
    if trial.version.format is Format.ONNX:
        load(Format.ONNX, _IDENTITY)  # the runtime's own memory must not count as the artifact's
    _confine(trial.memory, trial.seconds)
    result = _attempt(trial, sys.stdin.buffer.read())
    answer.write(result.model_dump_json())
    answer.flush()
    os._exit(0)  # native destructors of a damaged model may hang


if __name__ == "__main__":
    main()
