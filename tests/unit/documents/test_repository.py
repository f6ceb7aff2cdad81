"""The files that GitHub, pre-commit and type checkers read: they are valid and name what exists."""

import json
import re

import pytest
import yaml

from tests.support.template import ROOT

FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml"))


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_asks_something_and_names_each_answer_once(path):
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= set(form)
    asked = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(set(asked)) == len(asked) > 1
    assert any(field.get("validations", {}).get("required") for field in form["body"])
    assert all(field["attributes"].get("label") for field in form["body"] if "id" in field)


def test_there_is_a_form_for_a_bug_and_one_for_a_feature():
    assert [path.stem for path in FORMS] == ["bug", "feature"]


def test_a_pull_request_names_make_targets_that_exist():
    makefile = (ROOT / "Makefile").read_text()
    called = re.findall(
        r"`make ([a-z -]+)`", (ROOT / ".github/pull_request_template.md").read_text()
    )
    for target in " ".join(called).split():
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_dependabot_looks_into_every_folder_with_a_lock_file_and_at_the_actions():
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    by_kind = {update["package-ecosystem"]: update for update in updates}
    assert set(by_kind) == {"pip", "github-actions"}
    locked = {
        f"/{path.parent.relative_to(ROOT)}"
        for folder in ("requirements", "layers")
        for path in (ROOT / folder).rglob("*.in")
    }
    assert set(by_kind["pip"]["directories"]) == locked


def test_hooks_of_other_repositories_are_pinned_and_ours_use_the_locked_tools():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    for repository in hooks:
        if repository["repo"] != "local":
            assert re.fullmatch(r"[0-9a-f]{40}", repository["rev"]), repository["repo"]
    (own,) = [repository["hooks"] for repository in hooks if repository["repo"] == "local"]
    locked = (ROOT / "requirements/dev.txt").read_text()
    for hook in own:
        module = re.match(r"\.venv/bin/python -m (\w+)", hook["entry"])[1]
        assert re.search(rf"^{module}==", locked, re.MULTILINE), module


def test_every_file_ends_as_the_hooks_want_it():
    kinds = ("*.md", "*.py", "*.yml", "*.yaml", "*.toml", "*.json", "Makefile")
    folders = (".github", ".ci", "benchmarks", "docs", "events", "functions", "layers", "tests")
    for folder in folders:
        for kind in kinds:
            for path in (ROOT / folder).rglob(kind):
                text = path.read_text()
                if text:
                    assert text.endswith("\n"), path
                    assert not text.endswith("\n\n"), path
                assert not re.search(r"[ \t]+$", text, re.MULTILINE), path
                if kind == "*.json":
                    json.loads(text)


@pytest.mark.parametrize(
    "package", ["neuralstream_client", "neuralstream_core", "layers/core/neuralstream_lambda"]
)
def test_a_package_that_is_typed_says_so(package):
    assert (ROOT / package / "py.typed").is_file()
