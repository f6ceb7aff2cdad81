"""What memory this process has taken, and a limit to what it may take.

``RLIMIT_DATA`` bounds private writable memory: heap, anonymous mappings and thread stacks, whether or
not they were touched. An allocation beyond it fails, which a runtime can turn into an error; memory
beyond the limit of a Lambda function or a container ends the process instead. Linux only: elsewhere
nothing is limited.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

__all__ = ["function_memory", "limit_growth", "peak", "reset_peak", "resident"]

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def function_memory(environ: Mapping[str, str]) -> int | None:
    """Bytes the Lambda function that runs here may use; ``None`` outside Lambda."""
    megabytes = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    return int(megabytes) * 1024 * 1024 if megabytes.isdigit() else None


def resident() -> int:
    """Bytes of physical memory in use; the greatest ever used where the system does not tell."""
    return _status("VmRSS") or peak()


def peak() -> int:
    """The greatest number of bytes of physical memory in use at once since `reset_peak`, or ever."""
    if (used := _status("VmHWM")) > 0:
        return used
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def reset_peak() -> None:
    """Let `peak` begin again, where the system can: Linux."""
    with suppress(OSError), _CLEAR.open("w") as file:
        file.write("5")


def limit_growth(growth: int) -> None:
    """Let private memory grow by at most ``growth`` bytes from here; a lower limit stays."""
    private = _status("VmData")
    if not private:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = private + growth
    if soft != resource.RLIM_INFINITY and soft <= limit:
        return
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _status(name: str) -> int:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)
