"""What a release carries: the workflow that signs it runs nothing of ours, and a packed bundle is whole."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile

import pytest
import yaml

from tests.support.template import ROOT

JOBS = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]


def test_only_the_job_that_runs_no_code_of_ours_may_sign_and_publish():
    assert "permissions" not in JOBS["build"], "the workflow's own: reading"
    assert JOBS["publish"]["permissions"] == {
        "contents": "write",
        "id-token": "write",
        "attestations": "write",
    }
    steps = JOBS["publish"]["steps"]
    assert not any("checkout" in step.get("uses", "") for step in steps)
    (command,) = [step["run"] for step in steps if "run" in step]
    assert command.startswith("gh release create ")


def test_every_released_file_is_attested_before_it_is_published():
    kinds = [step.get("uses", "run").partition("@")[0] for step in JOBS["publish"]["steps"]]
    assert kinds == ["actions/download-artifact", "actions/attest", "actions/attest", "run"]
    provenance, materials = [
        step["with"] for step in JOBS["publish"]["steps"] if "attest" in step.get("uses", "")
    ]
    assert provenance == {"subject-path": "dist/*"}
    assert materials["sbom-path"] == "dist/neuralstream.cdx.json"


@pytest.fixture
def built(tmp_path):
    """A small build as `sam build` lays it out."""
    folder = tmp_path / "built"
    (folder / "PredictFunction").mkdir(parents=True)
    (folder / "PredictFunction/app.py").write_text("pass\n")
    (folder / "template.yaml").write_text(
        "Resources:\n  P:\n    Properties:\n      CodeUri: PredictFunction\n"
        "  S:\n    Properties:\n      DefinitionUri: ../../statemachines/batch_predict.asl.json\n"
    )
    return folder


def pack(built, target):
    return subprocess.run(
        [sys.executable, ".ci/pack.py", str(built), str(target)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_packed_bundle_has_what_its_template_and_its_deployment_name(built, tmp_path):
    target = tmp_path / "bundle-1.zip"
    done = pack(built, target)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(target) as packed:
        names = set(packed.namelist())
        assert packed.read("bundle-1/.aws-sam/build/PredictFunction/app.py") == b"pass\n"
    assert {"bundle-1/samconfig.toml", "bundle-1/LICENSE"} <= names
    assert "bundle-1/statemachines/batch_predict.asl.json" in names


def test_equal_builds_are_packed_to_equal_bytes(built, tmp_path):
    pack(built, tmp_path / "b.zip")
    before = (tmp_path / "b.zip").read_bytes()
    for path in built.rglob("*"):
        os.utime(path, (1, 1))
    pack(built, tmp_path / "b.zip")
    assert (tmp_path / "b.zip").read_bytes() == before


def test_a_bundle_that_could_not_be_deployed_is_not_packed(built, tmp_path):
    target = tmp_path / "b.zip"
    (built / "PredictFunction/app.py").unlink()
    done = pack(built, target)
    assert done.returncode == 1
    assert ".aws-sam/build/PredictFunction" in done.stderr
    assert not target.exists()
    done = pack(tmp_path, target)
    assert done.returncode == 1
    assert "run `make bundle`" in done.stderr
