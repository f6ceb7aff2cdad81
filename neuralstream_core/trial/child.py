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
from typing import TYPE_CHECKING, Final

from neuralstream_core.errors import ArtifactRejected
from neuralstream_core.registry.records import Checked, Format, Signature, VersionRecord
from neuralstream_core.registry.registration import Asked
from neuralstream_core.types import Record

if TYPE_CHECKING:
    from neuralstream_core.trial.proof import Proof

__all__ = ["Trial", "TrialResult", "try_artifact"]

_OUT_OF_MEMORY: Final = ("bad_alloc", "allocate", "out of memory")


class Trial(Record):
    """What to try: ``memory`` in bytes, ``seconds`` of processor time."""

    version: VersionRecord
    asked: Asked
    memory: int
    seconds: int

    @property
    def format(self) -> Format:
        return self.version.format


class TrialResult(Record):
    """A signature, with what the check found, or the reason of a refusal."""

    signature: Signature | None = None
    check: Checked | None = None
    reason: str | None = None
    code: str | None = None
    errors: tuple[tuple[str, str], ...] = ()
    """Places of the request that are wrong: ``loc`` and ``msg`` of each."""


def try_artifact(version: VersionRecord, data: bytes, asked: Asked) -> Proof:
    """Inspect, load and prove an artifact (`neuralstream_core.trial.proof`); measure memory and load time.

    Raises:
        ArtifactRejected: with the reason.
    """
    from neuralstream_core.trial.footprint import load_measured, run_measured
    from neuralstream_core.trial.proof import prove

    runtime, footprint = load_measured(version.format, data)
    proofs: list[Proof] = []
    footprint = run_measured(
        footprint,
        lambda: proofs.append(prove(version, runtime, asked.declared, asked.check, asked.samples)),
    )
    (proof,) = proofs
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
        places = tuple((place.loc, place.msg) for place in error.errors)
        return TrialResult(reason=error.detail, code=error.code, errors=places)
    except MemoryError:
        return TrialResult(reason=_too_big(trial))
    except Exception as error:  # noqa: BLE001 - whatever the artifact provoked is a reason to refuse it
        return TrialResult(reason=f"loading it failed ({type(error).__name__})")


def _too_big(trial: Trial) -> str:
    return f"it needs more than {trial.memory // 2**20} MiB of memory to load and run"


def main() -> None:
    """Read the trial, do it, answer."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(
        os.open(os.devnull, os.O_WRONLY), 1
    )  # native code that prints must not garble the answer
    trial = Trial.model_validate_json(sys.stdin.buffer.readline())
    if trial.format is Format.ONNX:
        import onnxruntime  # noqa: F401 - its own memory is not the artifact's
    import neuralstream_core.runtimes
    import neuralstream_core.trial.footprint
    import neuralstream_core.trial.proof

    if trial.format is Format.ONNX:
        neuralstream_core.trial.footprint.warm_up()
    _confine(trial.memory, trial.seconds)
    result = _attempt(trial, sys.stdin.buffer.read())
    answer.write(result.model_dump_json())
    answer.flush()
    os._exit(0)  # native destructors of a broken model are not worth waiting for


if __name__ == "__main__":
    main()
