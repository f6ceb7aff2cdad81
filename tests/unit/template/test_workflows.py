"""The workflows hold no key and run no code that can change under them."""

import re

import pytest
import yaml

from tests.support.template import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_to_a_commit(path):
    for used in re.findall(r"uses: (\S+)", path.read_text()):
        assert used.startswith("./") or re.search(r"@[0-9a-f]{40}$", used), used


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_workflow_holds_a_secret_or_more_rights_than_reading(path):
    assert "secrets." not in path.read_text()
    assert yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"}


def test_stages_of_the_workflow_are_stages_of_samconfig():
    import tomllib

    stages = set(tomllib.loads((ROOT / "samconfig.toml").read_text())) - {"version", "default"}
    deployed = set(
        re.findall(
            r"stage: (\w+)$", (ROOT / ".github/workflows/deploy.yml").read_text(), re.MULTILINE
        )
    )
    assert deployed == {"staging", "prod"}
    assert deployed <= stages


def test_a_stage_is_built_for_one_architecture_deployed_and_then_asked_for_everything():
    steps = yaml.safe_load((ROOT / ".github/workflows/deploy-stage.yml").read_text())
    run = [step["run"] for step in steps["jobs"]["deploy"]["steps"] if "run" in step]
    assert [index for index, text in enumerate(run) if "sam build" in text] == [1]
    assert [index for index, text in enumerate(run) if "sam deploy" in text] == [2]
    assert "neuralstream_local.smoke_stack" in run[3]
    assert len(run) == 4
