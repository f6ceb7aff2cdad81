"""How long inference may take, how much memory, and how large an answer may be.

The memory fits a function of 1,769 MiB: what Python and the libraries take (about 200), `CACHE` for the
models that are loaded, `RUN` for the one run at a time, and the rest for requests and answers. What does
not fit is refused when it is registered (`neuralstream_core.trial.child`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from neuralstream_core.errors import TooLarge
from neuralstream_core.registry.records import Footprint
from neuralstream_core.runtimes import Bounds

__all__ = [
    "CACHE",
    "LOAD_SECONDS",
    "MAX_VALUES",
    "REGISTRATION_LOAD_SECONDS",
    "RUN",
    "Limits",
    "check_values",
    "run_memory",
]

_MIB: Final = 1024 * 1024

CACHE: Final = 700 * _MIB
"""Bytes of all loaded models together, and so of the largest one."""
RUN: Final = 512 * _MIB
"""Bytes a run may allocate."""
_RUN_AT_LEAST: Final = 256 * _MIB
_RUN_FACTOR: Final = 8
LOAD_SECONDS: Final = 6.0
"""Wall-clock time to load a model while a request waits; below the 10 s of the predict function."""
REGISTRATION_LOAD_SECONDS: Final = 4.0
"""Processor time a model may take to load when it is registered: less, so that it loads later, too."""
MAX_VALUES: Final = 2_000_000
"""Values beyond which no JSON text fits Lambda's 6 MB: each takes a digit and ``, ``."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds of inference, below the timeout of the function that each is for.

    Attributes:
        one: an entity.
        tensors: the tensors of a V2 request.
        rows: the rows of a batch request, all runs together.
        job: the rows of a job's chunk that one version answers, all runs together.
    """

    one: float = 2.0
    tensors: float = 3.0
    rows: float = 15.0
    job: float = 600.0

    def bounds(self, footprint: Footprint | None) -> Bounds:
        """The bounds a version is loaded with."""
        return Bounds(LOAD_SECONDS, self.one, run_memory(footprint))


def run_memory(footprint: Footprint | None) -> int:
    """Bytes a run of a version may allocate: several times what its trial took, within `RUN`."""
    if footprint is None:
        return RUN
    return min(RUN, max(_RUN_AT_LEAST, _RUN_FACTOR * footprint.run))


def check_values(count: int) -> None:
    """Refuse an answer of ``count`` numbers or labels that could not be sent, before its text is made.

    Raises:
        TooLarge: they are more than `MAX_VALUES`.
    """
    if count > MAX_VALUES:
        raise TooLarge(
            f"the answer would hold {count} values, at most {MAX_VALUES} can be sent; ask for fewer rows "
            "in one request, or write the answers to files: POST /predict/{model}/batch",
            code="answer_too_large",
        )
