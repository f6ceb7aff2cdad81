"""A function in a fresh interpreter: what its import loads and opens, and what its first request adds.

    python -m tests.support.first_request functions/predict < event.json

The answer is one JSON document. Connections, sockets and threads are those at the end of the import.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil


class Context:
    """What a handler needs of Lambda's context."""

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 30_000


def main() -> None:
    event = json.load(sys.stdin)
    sys.path.insert(0, str(Path(sys.argv[1]).resolve()))
    connected: list[str] = []
    sys.addaudithook(lambda name, _: connected.append(name) if name == "socket.connect" else None)
    import app  # type: ignore[import-not-found]  # the function's own folder is on the path above

    loaded = set(sys.modules)
    at_import: dict[str, Any] = {
        "loaded": sorted(loaded),
        "connected": len(connected),
        "sockets": len(psutil.Process().net_connections()),
        "threads": threading.active_count(),
    }
    started = time.perf_counter()
    answer = app.lambda_handler(event, Context())
    at_import["seconds"] = time.perf_counter() - started
    sys.stdout.write(
        json.dumps({**at_import, "answer": answer, "added": sorted(set(sys.modules) - loaded)})
    )


if __name__ == "__main__":
    main()
