"""A built function under the real runtime client and AWS's runtime interface emulator.

Only what the function would have on AWS is on its path: its own folder, its own layers, and what the
managed runtime brings (``.run/runtime``); the interpreter's site packages are switched off.
"""

from __future__ import annotations

import http.client
import json
import os
import platform
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from neuralstream_local.ports import free_port
from tests.support.template import ROOT, functions, global_layers

BUILD = ROOT / ".aws-sam" / "build"
RUNTIME = ROOT / ".run" / "runtime"
_RAPID = ".venv-bundle/lib/python3.12/site-packages/samcli/local/rapid/aws-lambda-rie-"
_ARCHITECTURE = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"


def layers_of(function: str) -> list[str]:
    """Logical ids of a function's layers, those that all have first."""
    own = functions()[function].get("Layers", [])
    return [layer["Ref"] for layer in (*global_layers(), *own)]


class Emulated:
    """One function behind the emulator; started on construction, stopped by `close`.

    Args:
        folder: other code than the function's own, under the function's settings and layers.
        build: where the functions and layers were built.
    """

    def __init__(
        self,
        function: str,
        environ: dict[str, str],
        folder: Path | None = None,
        build: Path = BUILD,
    ) -> None:
        properties = functions()[function]
        self.function = function
        self.port = free_port(1)
        runtime_port = self.port + 1
        folder = folder or build / f"{function}Function"
        path = [folder, *(build / layer / "python" for layer in layers_of(function)), RUNTIME]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process writes
        self._process = subprocess.Popen(
            [
                str(ROOT / (_RAPID + _ARCHITECTURE)),
                "--runtime-interface-emulator-address",
                f"127.0.0.1:{self.port}",
                "--runtime-api-address",
                f"127.0.0.1:{runtime_port}",
                *(str(ROOT / ".venv-bundle/bin/python"), "-S", "-m", "awslambdaric"),
                properties["Handler"],
            ],
            cwd=folder,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "LANG": "en_US.UTF-8",
                "TZ": ":UTC",
                "PYTHONPATH": os.pathsep.join(map(str, path)),
                "PYTHONDONTWRITEBYTECODE": "1",
                "LAMBDA_TASK_ROOT": str(folder),
                "AWS_LAMBDA_FUNCTION_NAME": function,
                "AWS_LAMBDA_FUNCTION_TIMEOUT": str(properties["Timeout"]),
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(properties["MemorySize"]),
                "AWS_LAMBDA_LOG_FORMAT": "JSON",
                "AWS_EXECUTION_ENV": "AWS_Lambda_python3.12",  # decides how answers are encoded
                **environ,
            },
        )
        _wait_for(self.port)

    def invoke(self, event: Any) -> Any:
        """The function's answer to ``event``."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(
                "POST", "/2015-03-31/functions/function/invocations", json.dumps(event)
            )
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def log(self) -> str:
        """Everything written so far, the platform's reports included."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def close(self) -> None:
        os.killpg(self._process.pid, 9)
        self._process.wait()
        self._log.close()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20.0
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
        else:
            return


def size_of(folder: Path) -> int:
    """Bytes of every file below ``folder``."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
