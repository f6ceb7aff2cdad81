"""samconfig.toml against template.yaml: every stage sets parameters that exist to values they may have."""

import re
import tomllib

import pytest

from tests.support.template import ROOT, template

CONFIG = tomllib.loads((ROOT / "samconfig.toml").read_text())
STAGES = sorted(set(CONFIG) - {"version", "default"})
DEPLOY = (ROOT / "docs" / "deploy.md").read_text()


def overrides(stage):
    return dict(
        one.split("=", 1) for one in CONFIG[stage]["deploy"]["parameters"]["parameter_overrides"]
    )


def test_the_stages_are_those_the_template_knows():
    assert set(STAGES) == set(template()["Parameters"]["Stage"]["AllowedValues"])


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_sets_parameters_that_exist_to_legal_values(stage):
    declared = template()["Parameters"]
    for name, value in overrides(stage).items():
        assert name in declared
        rule = declared[name]
        if rule["Type"] == "Number":
            assert rule.get("MinValue", 0) <= float(value) <= rule.get("MaxValue", float("inf"))
        if "AllowedValues" in rule:
            assert value in map(str, rule["AllowedValues"])
        if "AllowedPattern" in rule:
            assert re.fullmatch(rule["AllowedPattern"], value)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_and_tags_its_own_stack(stage):
    name = CONFIG[stage]["global"]["parameters"]["stack_name"]
    assert name == f"neuralstream-{stage}"
    assert len(name) <= 28
    assert overrides(stage)["Stage"] == stage
    assert CONFIG[stage]["deploy"]["parameters"]["tags"] == f"project=neuralstream stage={stage}"


def test_only_prod_asks_before_it_changes_anything():
    asks = {stage: CONFIG[stage]["deploy"]["parameters"]["confirm_changeset"] for stage in STAGES}
    assert asks == {"dev": False, "staging": False, "prod": True}


def test_a_bare_deploy_has_no_stack_to_change():
    assert "deploy" not in CONFIG["default"]
    assert "stack_name" not in CONFIG["default"]["global"]["parameters"]


@pytest.mark.parametrize("env", sorted(set(CONFIG) - {"version"}))
def test_loops_of_the_template_are_expanded_in_every_command(env):
    assert CONFIG[env]["global"]["parameters"]["language_extensions"] is True
    assert CONFIG[env]["validate"]["parameters"] == {"lint": True}


def test_every_parameter_is_explained_with_its_default():
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|([^|]*)\|", DEPLOY, re.MULTILINE)
    explained = {
        name: default.strip() for names, default in rows for name in re.findall(r"`(\w+)`", names)
    }
    declared = template()["Parameters"]
    assert set(declared) - set(explained) == set()
    for name, rule in declared.items():
        if explained[name]:
            assert explained[name] == str(rule["Default"])
        else:
            assert rule["Default"] == ""


def test_a_stack_of_release_0_1_can_keep_its_cache():
    """Another name would replace it. 0.1 called it like the stack, and docs/howto/upgrade.md says 0."""
    found = template()
    name = found["Resources"]["Cache"]["Properties"]["ServerlessCacheName"]
    condition, former, later = name["Fn::If"]
    assert found["Conditions"][condition] == {"Fn::Equals": [{"Ref": "CacheGeneration"}, "0"]}
    assert found["Parameters"]["CacheGeneration"]["MinValue"] == 0
    assert former == {"Ref": "AWS::StackName"}
    assert later == {"Fn::Sub": "${AWS::StackName}-${CacheGeneration}"}
