"""``make run``: the whole stack until Ctrl-C.

Environment: ``PORT`` (default 8000; the AWS emulation listens on the next one), ``EXAMPLE`` (default
``flights``; ``none`` starts empty), ``AUTH=on`` (ask for an API key; one is minted and shown) and
``KEEP=on`` (Ctrl-C leaves the data for the next run on the port; without it only a run that was killed does).
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from neuralstream_local.children import ROOT, ChildFailed
from neuralstream_local.laptop import KEYS_TABLE
from neuralstream_local.stack import Stack

__all__ = ["main"]

_WATCH_SECONDS = 0.25
_LEAVE_SECONDS = 2.0


class _Refused(Exception):
    """What the person at the terminal asked for cannot be done; the message says why."""


def main(environ: Mapping[str, str]) -> int:
    """Start, show what to do next, and wait; the exit status."""
    started = time.monotonic()
    leave = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if leave.is_set():
            return
        leave.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup means: stay
        signal.signal(signal.SIGHUP, on_signal)
    stack: Stack | None = None
    finished = False
    held = contextlib.ExitStack()
    try:
        port, example, auth, lasting = _options(environ)
        log = ROOT / ".run" / f"server-{port}.log"
        log.parent.mkdir(exist_ok=True)
        log_file = held.enter_context(log.open("wb"))
        data = ROOT / ".run" / f"data-{port}"
        complete = data / "loaded"
        if not complete.exists():
            shutil.rmtree(data, ignore_errors=True)  # of a run that was killed while it loaded
        stack = Stack(port, port + 1, auth=auth, log=log_file, keep=data)
        key = None
        if auth:
            from neuralstream_core.keys import Scope
            from neuralstream_local.keys import key_store

            key = key_store(KEYS_TABLE, stack.aws_endpoint).mint("laptop", list(Scope)).key
        for name in stack.broken:
            _say(f"! {name} cannot be imported; its routes answer 500, {_short(log)} says why")
        if stack.restored:
            loaded = f"{complete.read_text()}, as the run before left it"
        else:
            loaded = _load(example, stack, key)
            complete.write_text(loaded)
        _welcome(stack, loaded, key, log, time.monotonic() - started)
        return _wait(stack, log)
    except KeyboardInterrupt:
        _say("\nstopping")
        finished = True
        return 0
    except _Refused as error:
        _say(f"cannot start: {error}")
        return 1
    except ChildFailed as error:
        _say(f"cannot start: {error}; {_short(log)} may say why")
        return 1
    finally:
        leave.set()
        if stack is not None:
            stack.stop()
            if finished and not lasting:
                shutil.rmtree(data, ignore_errors=True)
        held.close()


def _options(environ: Mapping[str, str]) -> tuple[int, str, bool, bool]:
    try:
        port = int(environ.get("PORT") or 8000)
    except ValueError:
        port = 0
    if not 1 <= port <= 65534:
        raise _Refused(f"PORT={environ.get('PORT')} is not a port number (1 to 65534)")
    example = environ.get("EXAMPLE") or "flights"
    if example not in {"flights", "none"}:
        raise _Refused(f"EXAMPLE={example} is not one of flights, none")
    auth, lasting = (_switch(environ, name) for name in ("AUTH", "KEEP"))
    for wanted, what in ((port, "the API"), (port + 1, "the AWS emulation")):
        if (why := _why_not(wanted)) is not None:
            raise _Refused(f"port {wanted} (for {what}) {why}; try PORT={_another(port)} make run")
    return port, example, auth, lasting


def _switch(environ: Mapping[str, str], name: str) -> bool:
    value = (environ.get(name) or "off").lower()
    if value not in {"on", "off"}:
        raise _Refused(f"{name}={value} is neither on nor off")
    return value == "on"


def _another(port: int) -> int:
    return port + 1000 if 1024 <= port <= 64000 else 8000


def _why_not(port: int) -> str | None:
    """Why ``port`` cannot be listened on; the processes of a run that was killed get a moment to leave it."""
    deadline = time.monotonic() + _LEAVE_SECONDS
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                probe.listen()
            except PermissionError:
                return "is only for privileged users"
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    return f"cannot be used ({error.strerror})"
            else:
                return None
        if time.monotonic() > deadline:
            return "is taken"
        time.sleep(_WATCH_SECONDS / 5)


def _load(example: str, stack: Stack, key: str | None) -> str:
    """Load the example through the API; says what was loaded."""
    if example == "none":
        return "empty, as asked"
    _say(f"loading the {example} example")
    from examples.flights.load import load, put_job_inputs

    try:
        loaded = load(stack.url, key)
        put_job_inputs(stack.aws_endpoint)
    except (OSError, http.client.HTTPException, RuntimeError) as error:
        raise _Refused(f"the {example} example could not be loaded ({error})") from error
    counts = ", ".join(f"{count} {what}" for what, count in loaded.items())
    return f"the {example} example: {counts}"


def _welcome(stack: Stack, loaded: str, key: str | None, log: Path, seconds: float) -> None:
    header = f" -H 'x-api-key: {key}'" if key else ""
    lines = [
        "",
        f"NeuralStream is ready in {seconds:.1f} s at {stack.url} ({loaded})",
        "",
        f"  console        {stack.url}/console",
        f"  API docs       {stack.url}/docs",
        f"  AWS emulation  {stack.aws_endpoint}   (any AWS client: AWS_ENDPOINT_URL={stack.aws_endpoint})",
        f"  server log     {_short(log)}",
    ]
    if key:
        lines += [f"  API key        {key}   (all scopes, for this run)"]
    lines += ["", "Try:", ""]
    lines += [f"  curl -s{header} {line}" for line in _curls(stack.url, loaded)]
    lines += ["", "Ctrl-C stops everything."]
    _say("\n".join(lines))


def _curls(url: str, loaded: str) -> list[str]:
    if loaded.startswith("empty"):
        return [f"{url}/health", f"{url}/models"]
    return [
        f"{url}/health",
        f"{url}/features/weather/JFK",
        f"{url}/models/flight_delay/lineage",
        f"-X POST {url}/predict/flight_delay -d '{_example_request()}'",
        f"'{url}/monitoring/stats?model=flight_delay&window=1h'",
    ]


def _example_request() -> str:
    from examples.flights.load import held_out, request_of

    return json.dumps({**request_of(held_out()[0]), "return_features": True})


def _wait(stack: Stack, log: Path) -> int:
    """Until a signal, until a part is gone for good, or until make is; says what was started again."""
    parent = os.getppid()
    while True:
        time.sleep(_WATCH_SECONDS)
        try:
            for sentence in stack.mend():
                _say(f"! {time.strftime('%H:%M:%S')} {sentence} ({_short(log)})")
        except ChildFailed as error:
            _say(f"! {error}; {_short(log)} may say why. Start again: make run")
            return 1
        if os.getppid() != parent:
            return 1


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - for the person at the terminal


if __name__ == "__main__":
    sys.exit(main(os.environ))
