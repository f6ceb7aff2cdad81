"""Validate an artifact in a child process (`neuralstream_core.trial.child`) with bounded memory and time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from neuralstream_core.errors import ArtifactRejected, FieldError, Unavailable
from neuralstream_core.memory import resident
from neuralstream_core.registry.records import Checked, Signature, VersionRecord
from neuralstream_core.registry.registrar import Validated
from neuralstream_core.registry.registration import Asked
from neuralstream_core.types import Record

__all__ = ["ProcessValidator", "Trial", "TrialResult", "trial_environment"]

MEMORY: Final = 1024 * 1024 * 1024
"""Bytes an artifact may take to load and run, besides the runtime itself."""
SECONDS: Final = 15.0
"""Wall-clock time the whole trial may take, the start of the process included."""

CHILD: Final = 128 * 1024 * 1024
"""Bytes the process takes before it sees the artifact: Python, numpy and ONNX Runtime."""
RESERVE: Final = 64 * 1024 * 1024
"""Bytes left to this process while the child runs."""
_LEAST: Final = 64 * 1024 * 1024

_KEPT: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "TMPDIR")


class Trial(Record):
    """What to try: ``memory`` in bytes, ``seconds`` of processor time."""

    version: VersionRecord
    asked: Asked
    memory: int
    seconds: int


class TrialResult(Record):
    """A signature, with what the check found, or the reason of a refusal."""

    signature: Signature | None = None
    check: Checked | None = None
    reason: str | None = None
    code: str | None = None
    errors: tuple[FieldError, ...] = ()
    """Places of the request that are wrong."""


class ProcessValidator:
    """A `Validator` that tries each artifact in a process of its own.

    The process gets no credentials: its environment holds only what Python needs to start.

    Args:
        memory: bytes on top of the runtime's own.
        seconds: wall-clock limit.
        shared: bytes this process and the other may use together (a Lambda function's memory): the
            trial gets what this one leaves, if that is less than ``memory``. ``None``: no such limit.
    """

    def __init__(
        self, *, memory: int = MEMORY, seconds: float = SECONDS, shared: int | None = None
    ) -> None:
        self._memory = memory
        self._seconds = seconds
        self._shared = shared

    def validate(self, version: VersionRecord, data: bytes, asked: Asked, /) -> Validated:
        """The signature of a good artifact, and what its check found.

        Raises:
            ArtifactRejected: with the reason.
            Unavailable: the process could not be started.
        """
        trial = Trial(
            version=version,
            asked=asked,
            memory=self._share(),
            seconds=max(1, round(self._seconds)),
        )
        result = self._run(trial, data)
        if result.signature is None:
            detail = result.reason or "no reason was given"
            if result.code in (None, ArtifactRejected.code):
                detail = f"the artifact was refused: {detail}"
            raise ArtifactRejected(detail, code=result.code, errors=result.errors)
        return Validated(result.signature, result.check)

    def _run(self, trial: Trial, data: bytes) -> TrialResult:
        with tempfile.TemporaryFile() as stdin:
            stdin.write(trial.model_dump_json().encode() + b"\n")
            stdin.write(data)
            stdin.seek(0)
            try:
                done = subprocess.run(
                    [sys.executable, "-m", "neuralstream_core.trial.child"],
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    timeout=self._seconds,
                    env=trial_environment(os.environ),
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return TrialResult(reason=f"its trial took longer than {self._seconds:g} s")
            except OSError as error:
                raise Unavailable(
                    "an artifact cannot be validated now", dependency="validator"
                ) from error
        try:
            return TrialResult.model_validate_json(done.stdout)
        except ValidationError:
            return TrialResult(reason=self._remains(done.returncode, trial.memory))

    def _share(self) -> int:
        """Bytes the trial may take now."""
        if self._shared is None:
            return self._memory
        left = self._shared - resident() - CHILD - RESERVE
        if left < _LEAST:
            raise Unavailable("there is no memory left for a trial", dependency="validator")
        return min(self._memory, left)

    def _remains(self, status: int, memory: int) -> str:
        """The reason of a refusal, from the exit status of a child that gave no answer."""
        match -status:
            case signal.SIGXCPU:
                return f"its trial took longer than {self._seconds:g} s"
            case signal.SIGABRT | signal.SIGKILL:
                return f"it needs more than {memory // 2**20} MiB of memory, or is corrupt"
            case number if number > 0:
                return f"the runtime crashed on it (signal {number})"
        return f"its trial ended with status {status}"


def trial_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment variables of the child: what Python needs to start, nothing that grants access."""
    kept = {name: environ[name] for name in _KEPT if name in environ}
    path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path)
    return {
        **kept,
        "PYTHONPATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
