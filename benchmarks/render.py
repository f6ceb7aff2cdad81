"""Make docs/benchmarks.md and its plots of what benchmarks/results/ holds.

    python benchmarks/render.py [--check]

Every number in the README and the pages that is a measurement comes from here. One that stands in a sentence
is between comments, and is put there by this::

    <!-- measured predict :: POST /predict, warm :: the whole handler :: time -->0.26 ms<!-- end -->

names the result, how the title of the group begins, the case, and `time`, `rate` (rows a second) or `ratio`
(× limit). ``--check`` fails when a page is not what the results make. Decisions keep their day's numbers.
"""

from __future__ import annotations

import json
import math
import re
import sys
from html import escape
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
PLOTS = ROOT / "docs" / "plots"
PROSE = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "howto").glob("*.md")),
)
MEASURED = re.compile(r"<!-- measured ([^>]+?) -->(.*?)<!-- end -->", re.DOTALL)

INTRO = """\
# Benchmarks

Every table was measured in one run on one machine. Its cases were called in alternation and ratios are
medians of paired calls, unless the text above it says otherwise. × limit is against the case that has 1.00:
the least that any implementation needs, or what the text names. Made by `make bench` (ours and the limit)
and `make bench-peers` (the peers too, each installed from pinned requirements into an environment of its own
and driven through its public API with its logging off); rendered by `python benchmarks/render.py`. Cases in
which a peer is faster are listed like all others.
"""

ORDER = (
    "features_read", "features_write", "predict", "monitoring_recorder", "cold_start", "client",
    "batch", "backfill", "compaction", "rebuild", "training_set", "outcomes", "growth", "console",
    "peers_read", "peers_write", "peers_frame", "peers_training", "peers_log_model", "peers_predict",
    "peers_throughput", "peers_batch", "peers_drift", "peers_footprint", "peers_growth",
)  # fmt: skip
"""Of the page: NeuralStream beside the least that is possible, then beside other products."""
PLOTTED = ("peers_read", "peers_predict", "peers_throughput", "peers_write", "peers_drift")

LIMITS = ("bare", "two bare", "joblib")
"""How the cases begin that no product is behind."""

WIDTH, LABEL, BAR = 760, 250, 20
INK = {"NeuralStream": "#1f6feb", "other": "#8c959f", "limit": "#d0d7de"}


def time_text(us: float) -> str:
    """A duration with three significant digits."""
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if us >= size * 10 ** (1 if unit == "ms" else 0):
            return f"{us / size:.3g} {unit}"
    return f"{us:.0f} µs"


def machine_text(facts: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {v}" for name, v in facts["packages"].items() if v)
    return (
        f"{facts['cores']} cores of {facts['cpu']}, {facts['memory_gib']} GiB, {facts['system']}; "
        f"Python {facts['python']}, Redis {facts['redis']}, {packages}; load average {facts['load']}"
        + (f"; {facts['date']}" if "date" in facts else "")
        + "."
    )


def table(group: dict[str, Any]) -> list[str]:
    """One group as Markdown: cases, notes below."""
    lines = [f"### {group['title']}", ""]
    lines += ["| case | median | p99 | rows/s | × limit | budget |", "|---|--:|--:|--:|--:|--:|"]
    for name, case in group["cases"].items():
        budget = group["budgets"].get(name)
        rate = group["rows"] / case["median_us"] * 1e6
        lines.append(
            f"| {name} | {time_text(case['median_us'])} | {time_text(case['p99_us'])} | {rate:,.0f} "
            f"| {case['ratio']:.2f} | {'' if budget is None else f'≤ {budget:g}'} |"
        )
    if group["notes"]:
        lines += ["", *(f"- {name}: {value}" for name, value in group["notes"].items())]
    return [*lines, ""]


def plot(title: str, groups: list[dict[str, Any]]) -> str:
    """Medians as bars on a logarithmic scale, one block a group."""
    cases = [(g, n, c["median_us"]) for g in groups for n, c in g["cases"].items()]
    low = 10 ** math.floor(math.log10(min(c for *_, c in cases)))
    high = 10 ** math.ceil(math.log10(max(c for *_, c in cases) * 1.05))
    room = WIDTH - LABEL - 90

    def at(us: float) -> float:
        return LABEL + room * math.log10(us / low) / math.log10(high / low)

    y = 34
    body = [f'<text x="8" y="20" font-weight="600">{escape(title)}</text>']
    for group in groups:
        y += 16
        body.append(f'<text x="8" y="{y}" fill="#57606a">{escape(group["title"])}</text>')
        y += 6
        for name, case in group["cases"].items():
            kind = "NeuralStream" if name.startswith("NeuralStream") else "other"
            ink = INK["limit"] if name == group["limit"] and kind == "other" else INK[kind]
            end = at(case["median_us"])
            body += [
                f'<rect x="{LABEL}" y="{y}" width="{max(end - LABEL, 1):.1f}" height="{BAR - 6}" '
                f'fill="{ink}"/>',
                f'<text x="{LABEL - 6}" y="{y + 11}" text-anchor="end">{escape(name)}</text>',
                f'<text x="{end + 5:.1f}" y="{y + 11}">{time_text(case["median_us"])}</text>',
            ]
            y += BAR
        y += 4
    decade = low
    lines = []
    while decade <= high:
        x = at(decade)
        lines += [
            f'<line x1="{x:.1f}" y1="30" x2="{x:.1f}" y2="{y}" stroke="#eaeef2"/>',
            f'<text x="{x:.1f}" y="{y + 14}" text-anchor="middle" fill="#57606a">'
            f"{time_text(decade)}</text>",
        ]
        decade *= 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 22}" '
        'font-family="system-ui,sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(lines + body)}</svg>\n'
    )


def budgets(results: list[dict[str, Any]]) -> list[str]:
    """Every budget in one table: those of the cases, and those against a peer."""
    lines = [
        "## Budgets",
        "",
        "| what | measured | budget | holds |",
        "|---|--:|--:|---|",
    ]

    section = ""

    def add(what: str, value: float, budget: float, text: str, *, least: bool = False) -> None:
        holds = value >= budget if least else value <= budget
        limit, answer = f"{'≥' if least else '≤'} {budget:,g}", "yes" if holds else "**no**"
        lines.append(f"| {section}: {what} | {text} | {limit} | {answer} |")

    for result in results:
        section = result["name"].replace("_", " ")
        for group in result["groups"]:
            for name, budget in group["budgets"].items():
                ratio = group["cases"][name]["ratio"]
                what = f"{group['title']}: {name} ∕ {group['limit']}"
                add(what, ratio, budget, f"{ratio:.2f}")
            for ours, peer, least in FASTER.get((result["name"], group["title"]), ()):
                cases = group["cases"]
                times = cases[peer]["median_us"] / cases[ours]["median_us"]
                what = f"{group['title']}: times that {ours} is faster than {peer}"
                add(what, times, least, f"{times:.1f}", least=True)
            for name, case in group["cases"].items():
                least_rate = RATES.get(result["name"], {}).get(name.partition(",")[0])
                if least_rate is not None:
                    rate = group["rows"] / case["median_us"] * 1e6
                    what = f"{group['title']}, rows/s: {name}"
                    add(what, rate, least_rate, f"{rate:,.0f}", least=True)
            if result["name"] == "training_set":
                peaks = {name: peak_megabytes(group["notes"][name]) for name in group["cases"]}
                own = peaks.pop("NeuralStream, per cell")
                others = [peaks[name] for name in peaks if not name.startswith("NeuralStream")]
                what = f"{group['title']}: peak memory ∕ the smallest of pandas and polars"
                add(what, own / min(others), 0.5, f"{own / min(others):.2f}")
    return [*lines, ""]


def peak_megabytes(note: str) -> float:
    """Of a note such as ``1.2 CPU seconds, peak memory 1,106 MB``."""
    found = re.search(r"peak memory ([\d,]+) MB", note)
    if found is None:
        raise ValueError(f"no peak memory in {note!r}")
    return float(found[1].replace(",", ""))


RATES = {
    "batch": {"NeuralStream": 100_000},
    "backfill": {"NeuralStream": 50_000},
    "compaction": {"first run": 100_000},
    "rebuild": {"NeuralStream": 16_667},
}
"""Least rows a second by result and how a case begins: of one core; of a rebuild, of its two workers."""

FASTER = {
    ("peers_read", "SDK read, 1000 × 20"): [("NeuralStream", "Feast", 100)],
    ("peers_write", "SDK write, 10,000 × 20"): [
        ("NeuralStream", "Feast", 12),
        ("NeuralStream, columns of arrays", "Feast", 25),
    ],
    **{
        ("training_set", f"written: {written}"): [
            ("NeuralStream, per cell", peer, 1)
            for peer in ("pandas merge_asof, per row", "polars join_asof, per row, sorted")
        ]
        for written in ("all", "4 groups")
    },
    ("peers_predict", "one prediction from an entity id, HTTP"): [
        ("NeuralStream", "Feast + mlserver", 4)
    ],
}
"""Budgets against a peer: how many times faster we must be, by result and group."""


def contents(results: list[dict[str, Any]]) -> list[str]:
    """A line of links for either half of the page."""
    lines = []
    for half, peers in (("NeuralStream alone", False), ("Beside other products", True)):
        names = [r["name"] for r in results if r["name"].startswith("peers_") == peers]
        links = ", ".join(f"[{n.replace('_', ' ')}](#{n.replace('_', '-')})" for n in names)
        lines += [f"{half}: {links}.", ""] if names else []
    return lines


def beside(results: list[dict[str, Any]]) -> list[str]:
    """What each product takes against NeuralStream, in one table: below 1 it is faster."""
    lines: list[str] = []
    for result in results:
        if not result["name"].startswith("peers_"):
            continue
        for group in result["groups"]:
            cases = group["cases"]
            own = [name for name in cases if name.startswith("NeuralStream")]
            others = [name for name in cases if not name.startswith(("NeuralStream", *LIMITS))]
            what = f"{result['name'].removeprefix('peers_').replace('_', ' ')}: {group['title']}"
            for mine, other in product(own, others):
                times = cases[other]["median_us"] / cases[mine]["median_us"]
                text = f"{times:.3g}" if times >= 1 else f"**{times:.2f}**"
                lines.append(f"| {what} | {mine} | {other} | {text} |")
    head = [
        "## Beside other products",
        "",
        "How many times NeuralStream's median each takes. Below 1 it is faster than NeuralStream.",
        "",
        "| what | case of NeuralStream | other | times |",
        "|---|---|---|--:|",
    ]
    return [*head, *lines, ""] if lines else []


def measurement(key: str, results: dict[str, dict[str, Any]]) -> str | None:
    """What a comment names, as text; ``None`` where the benchmark has no result yet.

    Raises:
        LookupError: the result has no such group, case or form.
    """
    name, title, case, form = (part.strip() for part in key.split("::"))
    if name not in ORDER:
        raise LookupError(f"{key}: there is no benchmark {name}")
    if name not in results:
        return None
    groups = [g for g in results[name]["groups"] if g["title"].startswith(title)]
    if not groups or case not in groups[0]["cases"]:
        raise LookupError(f"{key}: not in {name}.json")
    found = groups[0]["cases"][case]
    if form == "ratio":
        return f"{found['ratio']:.2f}"
    if form == "rate":
        rate = groups[0]["rows"] / found["median_us"] * 1e6
        return f"{float(f'{rate:.3g}'):,.0f}"
    if form == "time":
        return time_text(found["median_us"])
    raise LookupError(f"{key}: the form is time, rate or ratio")


def with_measurements(text: str, results: dict[str, dict[str, Any]]) -> str:
    """A page with every number between comments as the results have it."""

    def put(found: re.Match[str]) -> str:
        value = measurement(found[1], results)
        return found[0] if value is None else f"<!-- measured {found[1]} -->{value}<!-- end -->"

    return MEASURED.sub(put, text)


def pages() -> dict[Path, str]:
    """Every file this makes, with its text."""
    found = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}
    results = [found.pop(name) for name in ORDER if name in found] + list(found.values())
    by_name = {result["name"]: result for result in results}
    made: dict[Path, str] = {}
    for path in PROSE:
        if path != PAGE and MEASURED.search(text := path.read_text()):
            made[path] = with_measurements(text, by_name)
    lines = [INTRO, *contents(results), *budgets(results), *beside(results)]
    for result in results:
        lines += [f"## {result['name'].replace('_', ' ')}", "", result["workload"], ""]
        took = f" The run took {result['seconds']} s." if "seconds" in result else ""
        lines += [machine_text(result["machine"]) + took, ""]
        if result["name"] in PLOTTED:
            groups = result["groups"]
            path = PLOTS / f"{result['name']}.svg"
            made[path] = plot(result["name"].replace("_", " "), groups)
            lines += [f"![medians, logarithmic scale](plots/{path.name})", ""]
        for group in result["groups"]:
            lines += table(group)
    made[PAGE] = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"
    return made


def main() -> int:
    stale = 0
    for path, text in pages().items():
        if "--check" in sys.argv[1:]:
            if not path.exists() or path.read_text() != text:
                print(
                    f"{path.relative_to(ROOT)} is not what benchmarks/results make", file=sys.stderr
                )
                stale += 1
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            print(path.relative_to(ROOT))
    return stale


if __name__ == "__main__":
    raise SystemExit(main())
