"""The packages of the core import one another in one direction, at the top of their files."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

CORE = Path(__file__).parents[2] / "neuralstream_core"


@cache
def _nodes(path: Path) -> list[ast.ImportFrom]:
    """Every ``from … import`` of a file, for types alone and inside a function too."""
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]


def _package(module: str) -> str:
    """``neuralstream_core.features.schema`` → ``features``; a module at the top is its own package."""
    return module.split(".")[1] if module.count(".") else ""


def _imports(path: Path) -> set[str]:
    """The packages of the core that a file imports."""
    own = path.relative_to(CORE).parts[0].removesuffix(".py")
    found = {
        _package(node.module)
        for node in _nodes(path)
        if (node.module or "").startswith("neuralstream_core.")
    }
    return found - {own}


def _edges() -> dict[str, set[str]]:
    edges: dict[str, set[str]] = {}
    for path in CORE.rglob("*.py"):
        package = path.relative_to(CORE).parts[0].removesuffix(".py")
        edges.setdefault(package, set()).update(_imports(path))
    return edges


def _reached(edges: dict[str, set[str]], start: str) -> set[str]:
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        for package in edges.get(waiting.pop(), set()) - reached:
            reached.add(package)
            waiting.append(package)
    return reached


def test_no_package_of_the_core_reaches_itself_through_others() -> None:
    edges = _edges()
    assert [package for package in sorted(edges) if package in _reached(edges, package)] == []


def test_the_core_imports_no_lambda_no_laptop_and_no_client() -> None:
    outside = {"neuralstream_lambda", "neuralstream_local", "neuralstream_client", "functions"}
    found = {
        (path.name, node.module)
        for path in CORE.rglob("*.py")
        for node in _nodes(path)
        if (node.module or "").split(".")[0] in outside
    }
    assert not found


def test_one_module_of_the_core_speaks_to_sockets() -> None:
    """redis-py and botocore do everything else."""
    found = {
        path.relative_to(CORE).as_posix()
        for path in CORE.rglob("*.py")
        for line in path.read_text().splitlines()
        if "import socket" in line or "hiredis" in line
    }
    assert found == {"redis/connection.py"}


def _modules(root: Path) -> dict[str, set[str]]:
    """The modules that each module below ``root`` imports."""
    names = {
        ".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path
        for path in root.rglob("*.py")
    }
    found: dict[str, set[str]] = {}
    for name, path in names.items():
        imported: set[str] = set()
        for node in _nodes(path):
            if node.module in names:
                below = {f"{node.module}.{alias.name}" for alias in node.names} & names.keys()
                imported |= below or {node.module}
        found[name] = imported
    return found


def test_no_module_reaches_itself_through_others() -> None:
    others = ("neuralstream_client", "neuralstream_local", "layers/core/neuralstream_lambda")
    for root in (CORE, *(CORE.parent / name for name in others)):
        edges = _modules(root)
        assert [module for module in sorted(edges) if module in _reached(edges, module)] == []
