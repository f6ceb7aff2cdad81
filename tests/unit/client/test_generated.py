"""The client's generated code is what the OpenAPI document and the asynchronous modules say."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
import warnings
from operator import attrgetter
from pathlib import Path
from typing import get_args

from neuralstream_client import NeuralStream, cures
from neuralstream_client._async.keys import KeyScope
from neuralstream_client.answers import MintedKeyAnswer
from neuralstream_core.keys import Scope
from neuralstream_local import client_code

CLIENT = Path(__file__).parents[3] / "neuralstream_client"


def test_the_committed_answers_and_the_blocking_half_are_what_would_be_generated():
    assert client_code.main(["--check"]) == 0


def test_the_blocking_half_waits_for_nothing():
    for path in (CLIENT / "_sync").glob("*.py"):
        found = {type(node) for node in ast.walk(ast.parse(path.read_text()))}
        assert not found & {ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith}, path
        assert "async" not in path.read_text().lower().replace("neuralstream_client._async", ""), (
            path
        )


def test_importing_the_client_imports_nothing_that_its_core_does_not_need():
    absent = ["neuralstream_core", "numpy", "pandas", "polars", "pyarrow", "yaml", "boto3"]
    program = f"import sys, neuralstream_client; print({{*{absent}}} & {{*sys.modules}})"
    printed = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert printed == "set()\n"


def test_an_answer_of_a_newer_stack_is_read():
    from neuralstream_client.answers import Place, Tensor

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        place = Place.model_validate({"loc": "rows.0", "msg": "wrong", "hint": "new"})
    assert place.model_extra == {"hint": "new"}
    assert (
        Tensor.model_validate({"name": "x", "datatype": "BF16", "shape": [-1]}).datatype == "BF16"
    )


def test_a_new_keys_secret_is_not_printed_with_its_answer():
    fields = dict.fromkeys(MintedKeyAnswer.model_fields)
    minted = MintedKeyAnswer.model_construct(**fields | {"key": "nsk_secret", "key_id": "abcdefgh"})
    assert "abcdefgh" in repr(minted)
    assert "nsk_secret" not in f"{minted!r} {minted}"


def test_the_client_knows_every_scope_of_a_key():
    assert set(get_args(KeyScope)) == set(Scope)


def test_client_core_and_openapi_document_have_the_version_of_the_distribution():
    from neuralstream_client import __version__
    from neuralstream_core import __version__ as core

    root = CLIENT.parent
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    document = json.loads((root / "functions/console/openapi.json").read_text())
    assert __version__ == core == document["info"]["version"] == version


def test_an_extra_that_the_client_asks_for_can_be_installed():
    project = tomllib.loads((CLIENT.parent / "pyproject.toml").read_text())["project"]
    asked = {
        name
        for path in CLIENT.rglob("*.py")
        for name in re.findall(r'\bextra\("[\w.]+", "(\w+)"\)', path.read_text())
    }
    assert asked >= {"pandas", "polars", "arrow", "yaml", "command"}
    assert asked <= project["optional-dependencies"].keys()


def test_the_client_calls_every_route_but_those_of_other_protocols_and_no_other():
    document = json.loads((CLIENT.parent / "functions/console/openapi.json").read_text())
    declared = {re.sub(r"\{[^}]+\}", "{}", path) for path in document["paths"]}
    source = "".join(path.read_text() for path in (CLIENT / "_async").glob("*.py"))
    called = set(re.findall(r'"(/[a-z][a-z{}/-]*)"', source)) & declared
    written = set(re.findall(r'"(/[a-z][a-z{}/-]*)"', source))
    commands = {
        f"/models/{{}}/versions/{{}}/{name}" for name in ("complete", "archive", "baseline")
    }
    assert written <= declared
    pages = {"/docs", "/openapi.json", "/console", "/console/{}"}
    others = pages | {"/monitoring/metrics"} | {p for p in declared if "/v2" in p}
    assert declared - others == called | commands


def test_a_cure_is_for_a_code_that_the_stack_has_and_names_methods_of_the_client():
    root = CLIENT.parent
    folders = ("neuralstream_core", "layers/core", "functions")
    source = "".join(p.read_text() for folder in folders for p in (root / folder).rglob("*.py"))
    client = NeuralStream("http://stack")
    for code, cure in cures.CURES.items():
        assert f'"{code}"' in source, code
        for path in re.findall(r"\bns\.([\w.]+)\(", cure):
            assert callable(attrgetter(path)(client)), cure
    client.close()
