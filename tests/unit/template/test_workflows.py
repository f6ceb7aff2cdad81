"""The workflows hold no key and run no code that can change under them."""

import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml

from tests.support.template import ROOT

GIT = shutil.which("git")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_to_a_commit(path):
    for used in re.findall(r"uses: (\S+)", path.read_text()):
        assert used.startswith("./") or re.search(r"@[0-9a-f]{40}$", used), used


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_workflow_holds_a_secret_or_more_rights_than_reading(path):
    assert "secrets." not in path.read_text()
    assert yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"}


def commands(path):
    """Every shell command of a workflow's own steps."""
    jobs = yaml.safe_load(path.read_text())["jobs"]
    return [step["run"] for job in jobs.values() for step in job.get("steps", []) if "run" in step]


def targets(text):
    """The make targets that shell commands call, their variables left out."""
    called = re.findall(r"(?:^|\s)make ([^\n#&|;]+)", text)
    return {word for words in called for word in words.split() if "=" not in word}


def supported():
    """The Python versions that pyproject.toml declares."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    return [word for line in declared if re.fullmatch(r"3\.\d+", word := line.rpartition(" ")[2])]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_make_targets_and_files_that_exist(path):
    makefile = (ROOT / "Makefile").read_text()
    text = "\n".join(commands(path))
    for target in targets(text):
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), target
    for name in re.findall(r"(?:python|bash|sh) (\.?[\w./-]+\.(?:py|sh)|\.ci/\w+)", text):
        assert (ROOT / name).is_file(), name
    for module in re.findall(r"-m (neuralstream_\w+[\w.]*)", text):
        assert (ROOT / (module.replace(".", "/") + ".py")).is_file(), module
    for name in re.findall(r"uses: \./(\S+)", path.read_text()):
        assert (ROOT / name).is_file(), name


def test_the_jobs_of_ci_check_what_the_script_for_one_machine_checks():
    jobs = targets("\n".join(commands(ROOT / ".github/workflows/ci.yml")))
    script = targets((ROOT / ".ci/run").read_text().partition("\nstep lint")[2])
    assert script <= jobs
    assert jobs - script == {"coverage"}, "the tests once more, with their coverage"


def test_the_tests_run_under_every_python_that_is_supported():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == supported()
    (setup,) = [
        step["with"]["python-version"]
        for step in jobs["pythons"]["steps"]
        if "setup-python" in step.get("uses", "")
    ]
    assert sorted(setup.split()) == supported()
    minors = re.search(
        r"^MINORS = \((.*)\)$", (ROOT / "tests/pythons.py").read_text(), re.MULTILINE
    )
    assert [f"3.{minor}" for minor in minors[1].split(", ")] == supported()
    assert f"{supported()[0]} to {supported()[-1]}" in (ROOT / "README.md").read_text()


@pytest.fixture
def repository(tmp_path):
    """A repository with the files that a release is decided by; a call commits a changelog and asks."""

    def git(*words):
        identity = (
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@localhost",
            "-c",
            "commit.gpgsign=false",
        )
        subprocess.run([GIT, *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    def ask(changelog, version="1.2.0", core=None, tag=None):
        (tmp_path / "neuralstream_core").mkdir(exist_ok=True)
        (tmp_path / "pyproject.toml").write_text(f'[project]\nversion = "{version}"\n')
        (tmp_path / "neuralstream_core/__init__.py").write_text(
            f'__version__ = "{core or version}"\n'
        )
        (tmp_path / "CHANGELOG.md").write_text(changelog)
        git("init", "--quiet")
        git("add", ".")
        git("commit", "--quiet", "--message", "x")
        if tag:
            git("tag", tag)
        return subprocess.run(
            [sys.executable, ROOT / ".ci/release.py", "notes.md"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return ask


CLOSED = """# Changelog

## [Unreleased]

## [1.2.0] - 2026-12-01

- New.

## [1.1.0] - 2026-11-01

- Old.
"""


def test_a_closed_changelog_and_a_new_version_make_a_tag_and_its_notes(repository, tmp_path):
    asked = repository(CLOSED)
    assert (asked.returncode, asked.stdout) == (0, "v1.2.0\n"), asked.stderr
    assert (tmp_path / "notes.md").read_text() == "- New.\n"


@pytest.mark.parametrize(
    ("changelog", "tag", "why"),
    [
        (CLOSED, "v1.2.0", "released already"),
        (CLOSED.replace("[Unreleased]\n", "[Unreleased]\n\n- Later.\n"), None, "under Unreleased"),
    ],
)
def test_nothing_is_released_twice_or_half(repository, tmp_path, changelog, tag, why):
    asked = repository(changelog, tag=tag)
    assert (asked.returncode, asked.stdout) == (0, "")
    assert why in asked.stderr
    assert not (tmp_path / "notes.md").exists()


@pytest.mark.parametrize(
    ("version", "core"), [("1.3.0", None), ("1.2.0", "1.1.0")], ids=["no section", "two versions"]
)
def test_a_version_without_notes_or_with_two_values_fails(repository, version, core):
    asked = repository(CLOSED, version, core)
    assert (asked.returncode, asked.stdout) == (1, "")
    assert asked.stderr


def test_this_repositorys_own_version_has_a_section(tmp_path):
    environ = {"PATH": os.environ["PATH"], "GIT_DIR": str(tmp_path / "empty.git")}
    subprocess.run([GIT, "init", "--quiet", "--bare", environ["GIT_DIR"]], check=True)
    asked = subprocess.run(
        [sys.executable, ".ci/release.py", tmp_path / "notes.md"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr


def test_stages_of_the_workflow_are_stages_of_samconfig():
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
    assert "neuralstream_local.smoke " in run[3]
    assert len(run) == 4
