"""The SAM CLI's own word on the commands and settings that the project shows."""

import os
import re
import subprocess
import tomllib
from functools import cache

import pytest

from tests.support.documents import every_call
from tests.support.template import ROOT

TOOLS = ROOT / ".venv-bundle" / "bin"
CONFIG = tomllib.loads((ROOT / "samconfig.toml").read_text())
COMMANDS = sorted({command for env in CONFIG if env != "version" for command in CONFIG[env]})


@cache
def options(command):
    """The long options that ``sam COMMAND --help`` lists."""
    shown = subprocess.run(
        [TOOLS / "sam", command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "SAM_CLI_TELEMETRY": "0", "COLUMNS": "200"},
    ).stdout
    return set(re.findall(r"--[a-z0-9-]+", shown))


@pytest.mark.parametrize("call", every_call("sam"), ids=str)
def test_every_option_of_a_documented_command_exists(call):
    assert set(call.options()) <= options(call.words[0])


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "global"])
def test_every_setting_of_a_command_is_one_of_its_options(command):
    for env in set(CONFIG) - {"version"}:
        for name in CONFIG[env].get(command, {}).get("parameters", {}):
            assert f"--{name.replace('_', '-')}" in options(command)


def test_the_settings_for_all_commands_are_options_of_those_that_need_them():
    for command in ("build", "validate", "deploy"):
        assert "--language-extensions" in options(command)
    assert "--stack-name" in options("deploy")


def test_the_template_of_the_deployment_role_has_no_fault_that_cfn_lint_knows():
    """Among them: an action that IAM does not have."""
    lint = subprocess.run(
        [TOOLS / "cfn-lint", "docs/deploy-role.yaml"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=120,
    )
    assert lint.returncode == 0, lint.stdout
