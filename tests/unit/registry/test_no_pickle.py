"""No product code can execute what an artifact or a message brings along: a pickle is never loaded."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = (
    "neuralstream_core",
    "neuralstream_local",
    "neuralstream_client",
    "functions",
    "layers/core",
    "examples",
)
FORBIDDEN = {
    "pickle",
    "cPickle",
    "_pickle",
    "joblib",
    "cloudpickle",
    "dill",
    "shelve",
    "marshal",
}
TORCH_LOADS = {"load", "hub", "jit", "package", "serialization"}
"""What of torch unpickles. The client may import torch: it exports a model that its caller holds."""
EXECUTING = {"eval", "exec"}
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def findings(source: str) -> list[str]:
    """Every way in ``source`` to load code or objects from data."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found += [n.name for n in names if n.name.split(".")[0] in FORBIDDEN]
                found += [n.name for n in names if {*n.name.split(".")[1:]} & TORCH_LOADS]
            case ast.ImportFrom(module=str(module), level=0) if module.split(".")[0] == "torch":
                found.append(module)
            case ast.ImportFrom(module=str(module), level=0) if module.split(".")[0] in FORBIDDEN:
                found.append(module)
            case ast.Call(func=ast.Name(id=name)) if name in EXECUTING | {"__import__"}:
                found.append(name)
            case ast.Call(func=ast.Attribute(attr="load", value=ast.Name(id="np" | "numpy"))):
                found += _loads_objects(node)
            case ast.Call(func=ast.Attribute(attr="read_array")):
                found += _loads_objects(node)
            case ast.Attribute(attr=name, value=ast.Name(id="torch")) if name in TORCH_LOADS:
                found.append(f"torch.{name}")
            case ast.Attribute(attr="read_pickle" | "to_pickle"):
                found.append(node.attr)
    return found


def _loads_objects(call: ast.Call) -> list[str]:
    for keyword in call.keywords:
        if keyword.arg == "allow_pickle":
            off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            return [] if off else ["allow_pickle"]
    return ["allow_pickle is not said to be off"]


def test_there_is_something_to_search() -> None:
    assert len(SOURCES) > 30


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_code_path_unpickles_or_evaluates(path: Path) -> None:
    assert findings(path.read_text()) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_client_knows_torch(path: Path) -> None:
    assert "import torch" not in path.read_text() or "neuralstream_client" in path.parts


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "def f():\n    from joblib import load",
        "import torch.serialization",
        "from torch import load",
        "import torch\ntorch.load(f)",
        "import numpy as np\nnp.load(f)",
        "np.load(f, allow_pickle=True)",
        "np.lib.format.read_array(f)",
        "eval(text)",
        "pandas.read_pickle(f)",
        "__import__('pickle')",
    ],
)
def test_the_search_finds_each_way_in(source: str) -> None:
    assert findings(source)
