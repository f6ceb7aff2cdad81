"""Line-JSON between the driver and a peer in its own environment: one request, one answer a line."""

import json
import os
import sys
import time
import traceback


def timed(call, repeat):
    """Wall times in seconds of ``repeat`` calls."""
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def serve(operations):
    """Answer requests ``{"op": name, …arguments}`` until standard input ends.

    Whatever the peer prints goes to standard error: standard output is the protocol's alone.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"ok": operations[request.pop("op")](**request)}
        except Exception as error:  # noqa: BLE001 - reported to the driver, which fails the run
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
