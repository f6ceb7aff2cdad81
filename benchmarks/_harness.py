"""Side-by-side measurement: every case in one process and one run, against the physical limit.

Machines differ, and one machine differs from minute to minute, so a number alone says little. Cases of
a group are called in turn, in changing order, and a case's ratio is the median of its *paired* ratios:
each call against the limit's call of the same round. What disturbs the machine for a second disturbs
both.

    group = Group("read 1000 × 20", limit="bare MGET", rows=1000)
    group.measure({"bare MGET": f, "NeuralStream": g}, seconds=3)
    report = Report("features_read", "what was run, in a sentence")
    report.add(group); report.save()

`Report.save` writes ``results/{name}.json`` (up to 200 samples a case) and prints the table that
``results/{name}.md`` holds.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import platform
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

import hiredis

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "layers" / "core")]

from benchmarks.measured import code  # noqa: E402 - after the path

RESULTS = Path(__file__).parent / "results"

__all__ = ["RESULTS", "ROOT", "BareRedis", "Group", "Report", "arguments", "machine", "percentile"]


def percentile(samples: Sequence[float], q: float) -> float:
    """The smallest sample that at least ``q`` (0 to 1) of all samples do not exceed."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, max(0, -(-int(q * 1000 * len(ordered)) // 1000) - 1))]


def arguments(description: str, seconds: float = 2.0) -> argparse.Namespace:
    """The command line of a benchmark: ``--seconds`` for each case, ``--quick`` for a first look."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seconds", type=float, default=seconds, help="for each case")
    parser.add_argument("--quick", action="store_true", help="a tenth of the time, nothing saved")
    given = parser.parse_args()
    if given.quick:
        given.seconds /= 10
    return given


@dataclass
class Group:
    """Cases that are compared with each other.

    Args:
        title: what each call does.
        limit: the case that nothing can beat; ratios are against it.
        rows: rows a call handles, for the rows-per-second column.
        budgets: the largest allowed ratio of a case.
    """

    title: str
    limit: str
    rows: int = 1
    budgets: Mapping[str, float] = field(default_factory=dict)
    samples: dict[str, list[float]] = field(default_factory=dict)
    """Seconds of each call."""
    notes: dict[str, Any] = field(default_factory=dict)
    """Other facts of the group, such as bytes per row."""

    def measure(
        self, cases: Mapping[str, Callable[[], object]], seconds: float, *, least: int = 7
    ) -> None:
        """Call every case in turn until each has had about ``seconds`` in all, warm-up not counted."""
        for _ in range(3):
            for call in cases.values():
                call()
        names, clock = list(cases), time.perf_counter
        self.samples = {name: [] for name in names}
        draw = random.Random(7)
        gc.collect()
        spent, rounds = 0.0, 0
        while spent < seconds * len(names) or rounds < least:
            draw.shuffle(names)
            for name in names:
                call = cases[name]
                start = clock()
                call()
                took = clock() - start
                self.samples[name].append(took)
                spent += took
            rounds += 1

    def ratio(self, name: str) -> float:
        """Median of the paired ratios against the limit."""
        limit = self.samples[self.limit]
        return median(a / b for a, b in zip(self.samples[name], limit, strict=True))

    def over_budget(self) -> list[str]:
        """The cases whose ratio exceeds their budget."""
        return [name for name, budget in self.budgets.items() if self.ratio(name) > budget]

    def table(self) -> list[str]:
        """Markdown lines, heading included."""
        lines = [f"### {self.title}", ""]
        lines += [f"{name}: {value}" for name, value in self.notes.items()]
        lines += [""] if self.notes else []
        lines += [
            "| case | median | p99 | rows/s | × limit | budget |",
            "|---|--:|--:|--:|--:|--:|",
        ]
        for name, samples in self.samples.items():
            middle = median(samples)
            budget = f"≤ {self.budgets[name]:g}" if name in self.budgets else ""
            lines.append(
                f"| {name} | {_time(middle)} | {_time(percentile(samples, 0.99))} "
                f"| {self.rows / middle:,.0f} | {self.ratio(name):.2f} | {budget} |"
            )
        return lines


@dataclass
class Report:
    """All groups of one benchmark with the machine they ran on."""

    name: str
    workload: str
    groups: list[Group] = field(default_factory=list)
    since: ClassVar[float] = time.monotonic()
    """When this process began, or saved its last report: how long a run took is kept with its results."""

    def add(self, group: Group) -> None:
        self.groups.append(group)
        print("\n".join(group.table()), end="\n\n", flush=True)

    def markdown(self) -> str:
        lines = [f"## {self.name}", "", self.workload, "", describe(machine()), ""]
        for group in self.groups:
            lines += [*group.table(), ""]
        return "\n".join(lines)

    def save(self, *, quick: bool = False) -> int:
        """Write both files (unless ``quick``); the number of budgets that do not hold."""
        broken = [f"{group.title}: {name}" for group in self.groups for name in group.over_budget()]
        now = time.monotonic()
        if not quick:
            RESULTS.mkdir(exist_ok=True)
            raw = {
                "name": self.name,
                "workload": self.workload,
                "machine": machine(),
                "seconds": round(now - Report.since),
                "groups": [
                    {
                        "title": group.title,
                        "limit": group.limit,
                        "rows": group.rows,
                        "notes": group.notes,
                        "budgets": dict(group.budgets),
                        "cases": {
                            name: {
                                "median_us": _us(median(samples)),
                                "p99_us": _us(percentile(samples, 0.99)),
                                "ratio": round(group.ratio(name), 3),
                                "calls": len(samples),
                                "samples_us": [_us(s) for s in thinned(samples)],
                            }
                            for name, samples in group.samples.items()
                        },
                    }
                    for group in self.groups
                ],
            }
            (RESULTS / f"{self.name}.json").write_text(json.dumps(raw, ensure_ascii=False) + "\n")
            (RESULTS / f"{self.name}.md").write_text(self.markdown())
        Report.since = now
        for line in broken:
            print(f"over budget: {line}")
        return len(broken)


def thinned(samples: Sequence[float]) -> list[float]:
    """At most 200 samples, evenly spaced in time: enough to draw, small enough to commit."""
    step = max(1, math.ceil(len(samples) / 200))
    return list(samples[::step])


def machine() -> dict[str, Any]:
    """What a reader must know to compare: processor, memory, load, versions."""
    cpu = platform.processor() or platform.machine()
    memory = 0.0
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "code": code(),
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gib": round(memory, 1),
        "load": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "redis": _redis_version(),
        "packages": {name: _version(name) for name in ("numpy", "hiredis", "redis", "onnxruntime")},
    }


def describe(facts: Mapping[str, Any]) -> str:
    """`machine` as one sentence."""
    packages = ", ".join(f"{name} {v}" for name, v in facts["packages"].items() if v)
    return (
        f"{facts['cores']} cores of {facts['cpu']}, {facts['memory_gib']} GiB, {facts['system']}; "
        f"Python {facts['python']}, Redis {facts['redis']}, {packages}; client and servers on the "
        f"same cores; load average {facts['load']}."
    )


def _redis_version() -> str:
    from neuralstream_local.redis_binary import find_binary

    words = subprocess.run(
        [find_binary(), "--version"], capture_output=True, text=True, check=True
    ).stdout.split()
    return next((word[2:] for word in words if word.startswith("v=")), "?")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs" if seconds < 0.01 else f"{seconds * 1e3:.1f} ms"


def _us(seconds: float) -> float:
    return round(seconds * 1e6, 1)


def _packed(command: tuple[bytes | str | int, ...]) -> bytes:
    return hiredis.pack_command(command)  # type: ignore[arg-type]  # typed as a tuple of one


class BareRedis:
    """The least a client can do: one blocking socket, hiredis, no timeouts, no retries, no checks."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(None)
        self._reader = hiredis.Reader(notEnoughData=...)
        self._buffer = bytearray(256 * 1024)

    def send(self, payload: bytes) -> None:
        self._socket.sendall(payload)

    def receive(self, count: int) -> list[Any]:
        replies: list[Any] = []
        reader, buffer = self._reader, self._buffer
        while len(replies) < count:
            reader.feed(buffer, 0, self._socket.recv_into(buffer))  # type: ignore[arg-type]  # takes any buffer
            while (reply := reader.gets()) is not ...:
                replies.append(reply)
        return replies

    def call(self, *command: bytes | str | int) -> Any:
        self.send(_packed(command))
        return self.receive(1)[0]

    def pipeline(self, commands: Iterable[tuple[bytes | str | int, ...]]) -> list[Any]:
        packed = [_packed(command) for command in commands]
        self.send(b"".join(packed))
        return self.receive(len(packed))

    def close(self) -> None:
        self._socket.close()
