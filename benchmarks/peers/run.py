"""Ours beside the peers: same work, same machine, same run, in alternation.

    python benchmarks/peers/run.py [--quick] [--only read predict …]

Installs each peer into an environment of its own on first use (``requirements/``). Writes
``benchmarks/results/peers_*.json`` and ``.md``; ``benchmarks/render.py`` makes docs/benchmarks.md of them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import workloads  # noqa: E402 - after the path
from _world import Model  # noqa: E402 - after the path


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few rounds, nothing saved")
    parser.add_argument("--only", nargs="*", choices=list(workloads.ALL), default=None)
    given = parser.parse_args()
    over = 0
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        folder = Path(made)
        model = Model(folder)
        for name in given.only or workloads.ALL:
            own = folder / name
            own.mkdir()
            over += workloads.ALL[name](own, model, 3 if given.quick else 40).save(
                quick=given.quick
            )
    return over


if __name__ == "__main__":
    raise SystemExit(main())
