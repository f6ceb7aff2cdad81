"""Every command that the documentation shows: it is run by a test, or it says why it cannot be here.

What cannot be run (it needs an AWS account) is at least a valid command: the options and parameters exist, in
botocore's own model of the service, in the SAM CLI (tests/bundle), in our own programs.
"""

import json
import re
import tomllib

import botocore.session
import pytest
from botocore import xform_name

from tests.support.documents import PAGES, calls, every_call
from tests.support.template import ROOT

RUN_BY = {
    ("README.md", "curl"): "tests/integration/examples/test_pages.py",
    ("README.md", "python3"): "tests/wheel.py makes an environment in the same way",
    ("README.md", "pip"): "tests/wheel.py installs what this builds",
    ("README.md", "python"): "tests/integration/examples/test_drift_walk_through.py",
    ("README.md", "make"): "tests/integration/local/test_run.py, and CI itself for `make test`",
    ("README.md", "sam"): "tests/bundle/prepare builds; a deployment needs an AWS account",
    ("CONTRIBUTING.md", "make"): ".ci/run",
    ("CONTRIBUTING.md", "bash"): "CI",
    ("SECURITY.md", "python"): "tests/integration/authorizer/test_keys.py",
    ("SECURITY.md", "gh"): "needs a release",
    ("SECURITY.md", "sha256sum"): "needs a release",
    ("benchmarks/README.md", "make"): "by hand: it needs a quiet machine for an hour",
    ("benchmarks/README.md", "python"): "by hand: it needs a quiet machine",
    ("docs/command.md", "neuralstream"): "tests/integration/client/test_command.py",
    ("docs/deploy.md", "make"): "tests/unit/documents: the target exists; `make run` uses the same",
    ("docs/deploy.md", "sam"): "tests/bundle/prepare builds; a deployment needs an AWS account",
    ("docs/deploy.md", "aws"): "needs an AWS account",
    ("docs/deploy.md", "curl"): "tests/integration/local/test_smoke.py asks the same routes",
    ("docs/deploy.md", "python"): "tests/integration/local/test_smoke.py",
    ("docs/quickstart.md", "make"): "tests/integration/local/test_run.py",
    ("docs/quickstart.md", "python3"): "tests/wheel.py makes an environment in the same way",
    ("docs/quickstart.md", "pip"): "tests/wheel.py installs what this builds",
    ("docs/howto/keys.md", "make"): "tests/integration/local/test_run.py",
    ("docs/howto/keys.md", "neuralstream"): "tests/integration/client/test_command.py",
    ("docs/howto/keys.md", "python"): "tests/integration/client/test_command.py",
    ("docs/howto/backfill.md", "curl"): "tests/integration/backfill/test_stack.py sends the same",
    ("docs/howto/upgrade.md", "aws"): "needs an AWS account",
    ("docs/howto/upgrade.md", "sam"): "needs an AWS account",
    ("docs/howto/upgrade.md", "curl"): "tests/integration/local/test_smoke.py asks the same route",
    ("docs/howto/upgrade.md", "neuralstream"): "tests/integration/upgrade/test_going_on.py",
    ("docs/features.md", "curl"): "tests/integration/examples/test_pages.py",
    ("docs/operations.md", "aws"): "needs an AWS account",
    ("docs/operations.md", "neuralstream"): "tests/integration/backfill/test_stack.py",
    ("docs/operations.md", "curl"): "tests/integration/local/test_smoke.py asks the same route",
    ("docs/operations.md", "sam"): "needs an AWS account",
    ("docs/outcomes.md", "curl"): "tests/integration/outcomes/test_stack.py sends the same",
    ("docs/serving.md", "curl"): "tests/integration/examples/test_pages.py",
    ("docs/schedules.md", "curl"): "tests/integration/examples/test_pages.py",
    (
        "docs/operations.md",
        "python",
    ): "tests/integration/local/test_dashboard.py, test_copy_table.py",
}
"""Where each page's commands are run, or why they are not."""

CLI_ONLY = {
    ("cloudformation", "deploy"): {
        "--capabilities",
        "--parameter-overrides",
        "--stack-name",
        "--template-file",
    }
}
"""Commands that the AWS CLI makes of several API calls, with their options."""

STORAGE = "http://127.0.0.1:8001/"
"""The laptop's S3, which has no routes of ours."""

GLOBAL_OPTIONS = {"--query", "--output", "--region", "--profile", "--cli-binary-format"}
SESSION = botocore.session.Session()


@pytest.mark.parametrize("page", PAGES)
def test_a_pages_commands_are_valid_shell_and_somebody_runs_them(page):
    kinds = {(page, call.program) for call in calls(page)}
    assert kinds, "commands that call nothing"
    assert kinds - set(RUN_BY) == set(), "not run by a test and no reason given"


def test_no_reason_is_given_for_commands_that_are_gone():
    assert set(RUN_BY) == {(page, call.program) for page in PAGES for call in calls(page)}
    for where in RUN_BY.values():
        for path in re.findall(r"(?:tests|\.ci)/[\w/.]+", where):
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize("call", every_call("aws"), ids=str)
def test_an_aws_command_exists_with_the_options_given(call):
    service, command = call.words[:2]
    if (service, command) in CLI_ONLY:
        assert set(call.options()) <= CLI_ONLY[service, command]
        return
    model = SESSION.get_service_model("s3" if service == "s3api" else service)
    if command == "wait":
        waiters = json.dumps(
            SESSION.get_component("data_loader").load_service_model(service, "waiters-2")["waiters"]
        )
        name = call.words[2].replace("-", " ").title().replace(" ", "")
        assert f'"{name}"' in waiters
        return
    by_command = {xform_name(name, "-"): name for name in model.operation_names}
    assert command in by_command
    shape = model.operation_model(by_command[command]).input_shape
    known = {f"--{xform_name(name, '-')}": name for name in (shape.members if shape else {})}
    flags = {
        f"--no{option[1:]}"
        for option, name in known.items()
        if shape.members[name].type_name == "boolean"
    }
    given = set(call.options())
    assert given - set(known) - flags - GLOBAL_OPTIONS == set()
    required = set(shape.required_members) if shape else set()
    assert required <= {known[option] for option in given & set(known)}


@pytest.mark.parametrize(
    "call", [call for call in every_call("curl") if STORAGE not in str(call)], ids=str
)
def test_a_curl_command_asks_for_a_route_that_exists(call):
    paths = json.loads((ROOT / "functions/console/openapi.json").read_text())["paths"]
    (url,) = [word for word in call.words if word.startswith(("http://", "value/"))]
    path = "/" + re.sub(r"^http://", "", url).partition("/")[2].partition("?")[0]
    methods = {
        method
        for declared, operations in paths.items()
        if re.fullmatch(re.sub(r"\\\{[^/]+\\\}", "[^/]+", re.escape(declared)), path)
        for method in operations
    }
    short = next((word for word in call.words if re.fullmatch(r"-[a-zA-Z]*X", word)), None)
    method = call.words[call.words.index(short) + 1] if short else "GET"
    assert method.lower() in methods


@pytest.mark.parametrize("call", every_call("make"), ids=str)
def test_a_make_command_names_targets_and_variables_that_exist(call):
    makefile = (ROOT / "Makefile").read_text()
    for word in call.words:
        name, is_variable, _ = word.partition("=")
        if is_variable:
            assert f"$({name})" in makefile or f"$(if $({name})" in makefile
        else:
            assert re.search(rf"^{re.escape(name)}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("call", every_call("python"), ids=str)
def test_a_python_command_names_a_module_and_options_that_exist(call):
    if call.words[0] == "-m":
        source = ROOT / (call.words[1].replace(".", "/") + ".py")
        rest = call.words[2:]
    else:
        source, rest = ROOT / call.words[0], call.words[1:]
    text = source.read_text() + (
        (ROOT / "benchmarks/_harness.py").read_text() if source.parent.name == "benchmarks" else ""
    )
    for option in [word for word in rest if word.startswith("--")]:
        assert f'"{option}"' in text, option


@pytest.mark.parametrize("call", every_call("sam"), ids=str)
def test_a_sam_command_names_a_stage_of_samconfig(call):
    stages = tomllib.loads((ROOT / "samconfig.toml").read_text())
    if "--config-env" in call.words:
        stage = call.words[call.words.index("--config-env") + 1]
        assert call.words[0] in stages[stage]
    elif call.words[0] == "deploy":
        pytest.fail("without a stage `sam deploy` has no stack")


def test_every_link_between_pages_leads_somewhere():
    for page in [str(path.relative_to(ROOT)) for path in ROOT.glob("*.md")] + [
        str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")
    ]:
        text = (ROOT / page).read_text()
        for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", text):
            path, _, anchor = target.partition("#")
            linked = (ROOT / page).parent / path if path else ROOT / page
            assert linked.exists(), f"{page} → {target}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
                slugs = {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings}
                assert anchor in slugs, f"{page} → {target}"
