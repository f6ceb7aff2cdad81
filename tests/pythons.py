"""``make run`` under every Python from 3.11 to 3.14 that this machine has, each in a fresh copy.

    make test-pythons

Each copy gets an environment of its own by the Makefile, starts empty, answers on /health and on a write and
a read of a feature, and ends with no process left. Prints a line for each Python; exits 1 if one failed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from neuralstream_local.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
MINORS = (11, 12, 13, 14)
READY = "Ctrl-C stops everything"
INSTALL_SECONDS = 400


def pythons():
    """One executable for each minor version that answers and can make environments."""
    home = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    check = "import sys, ensurepip, venv; print(sys.version_info[1])"
    for minor in MINORS:
        name = f"python3.{minor}"
        for candidate in (name, *map(str, sorted(home.glob(f"3.{minor}*/bin/{name}")))):
            try:
                said = subprocess.run(
                    [candidate, "-c", check], capture_output=True, text=True, check=True
                ).stdout
            except (OSError, subprocess.CalledProcessError):
                continue
            if said.strip() == str(minor):
                yield f"3.{minor}", candidate
                break


def ask(url, method="GET", body=None):
    data = json.dumps(body).encode() if body is not None else None
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - our own http URL
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
        return json.loads(answer.read())


def use(url):
    assert ask(f"{url}/health")["status"] == "ok"
    view = {"entity": "id", "features": [{"name": "n", "dtype": "int64"}]}
    ask(f"{url}/features/views/v", "PUT", view)
    row = {"feature_view": "v", "entity_id": "e", "features": {"n": 7}}
    ask(f"{url}/features/write", "POST", row)
    assert ask(f"{url}/features/v/e")["features"] == {"n": 7}


def copy(into):
    """The files that git has, as they are here."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 - git, wherever it is
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            target = into / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)


def run(python, folder):
    """Why it failed, or an empty text."""
    copy(folder)
    port = free_port(1)
    environ = {
        k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "MAKEFLAGS", "MAKELEVEL"}
    }
    environ |= {"PORT": str(port), "EXAMPLE": "none"}
    output = folder / "output"
    with output.open("wb") as sink:
        make = subprocess.Popen(
            ["make", "run", f"PYTHON={python}"],  # noqa: S607 - make, wherever it is
            cwd=folder,
            env=environ,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + INSTALL_SECONDS
        while READY not in output.read_text():
            if make.poll() is not None or time.monotonic() > deadline:
                return f"not ready:\n{output.read_text()[-2000:]}"
            time.sleep(0.2)
        use(f"http://127.0.0.1:{port}")
    except (OSError, AssertionError) as error:
        return f"{error!r}\n{output.read_text()[-2000:]}"
    finally:
        if make.poll() is None:
            make.send_signal(signal.SIGTERM)
        make.wait(30)
    return ""


def main():
    failed = 0
    for version, python in pythons():
        started = time.monotonic()
        with tempfile.TemporaryDirectory(dir=ROOT / ".run") as folder:
            why = run(python, Path(folder))
        failed += bool(why)
        print(
            f"{version}  {'FAILED ' + why if why else 'passed'} ({time.monotonic() - started:.0f} s)",
            flush=True,
        )
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
