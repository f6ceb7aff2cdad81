"""The command against a running stack: its page, its JSON, a terminal, and the smoke test."""

from __future__ import annotations

import base64
import json
import os
import pty
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from neuralstream_client.command.app import app
from neuralstream_core.keys import Scope
from neuralstream_local.keys import key_store
from neuralstream_local.laptop import BUCKET, KEYS_TABLE
from tests.support.documents import blocks
from tests.support.template import ROOT

MODEL = ROOT / "neuralstream_client" / "command" / "smoke.onnx"
FEATURES = ("tenure_months", "monthly_charges", "support_tickets")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Folder with a program ``neuralstream``, as an installed wheel puts it on PATH."""
    folder = tmp_path_factory.mktemp("bin")
    file = folder / "neuralstream"
    file.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from neuralstream_client.command import main\nmain()\n"
    )
    file.chmod(0o755)
    return folder


@pytest.fixture
def environ(program, stack):
    kept = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "NEURALSTREAM_API_KEY"}}
    path = f"{program}:{os.environ['PATH']}"
    return {**kept, "NEURALSTREAM_URL": stack.url, "PATH": path, "COLUMNS": "80", "TERM": "xterm"}


@pytest.fixture
def called(environ):
    """``called(*words)`` → its status and what it wrote.

    In this process: another one takes half a second to start.
    """

    def call(*words, **more):
        ended = CliRunner().invoke(
            app, words, env={"NEURALSTREAM_API_KEY": None, **environ, **more}
        )
        return subprocess.CompletedProcess(words, ended.exit_code, ended.stdout, ended.stderr)

    return call


@pytest.fixture
def answered(called):
    """``answered(*words)`` → the JSON document that is all of standard output; the command did not fail."""

    def call(*words, status=0):
        ended = called(*words, "--json")
        assert ended.returncode == status, ended.stderr
        assert ended.stdout, ended.stderr
        return json.loads(ended.stdout)

    return call


def test_the_page_is_run_as_it_is_written(stack, environ, tmp_path):
    model = tmp_path / MODEL.relative_to(ROOT)
    model.parent.mkdir(parents=True)
    model.write_bytes(MODEL.read_bytes())
    script = "".join(blocks("docs/command.md")).replace("http://127.0.0.1:8000", stack.url)
    ended = subprocess.run(
        ["/bin/sh", "-eu"],
        input=script,
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for expected in (
        "there is a difference",
        "1 of 1 views applied",
        "nothing is to be done",
        "service:command_inputs@1: 3 features",
        "v1 is in production",
        "auc 0.87",
        "0.870",
        "command-nightly: command_churn, cron(0 3 * * ? *) Europe/Berlin, ",
        "command-nightly is deleted",
        "No baseline to compare",
        '"model": "command_churn"',
        "the stack is well",
    ):
        assert expected in ended.stdout


def careful_releases(answered, model):
    shadow = answered("models", "shadow", model, "v2", "--sample=0.5")["shadow"]
    assert (shadow["version"], shadow["sample"]) == ("v2", 0.5)
    assert answered("models", "shadow", model)["shadow"] == shadow
    assert answered("models", "shadow", model, "--end")["shadow"] is None
    words = ("error_rate:max=0.05:windows=3", "p99_ms:worse_than_baseline=50:window=15m")
    rules = answered("models", "guard", model, *words, "--action=end_split")["guard"]["rules"]
    assert [(rule["metric"], rule["windows"], rule["window"]) for rule in rules] == [
        ("error_rate", 3, "5m"),
        ("p99_ms", 2, "15m"),
    ]
    assert answered("models", "guard", model)["guard"]["rules"] == rules
    ramped = answered("models", "ramp", model, "v2", "0.1=1h", "0.5=4h", "1")
    assert ramped["split"] == {"v1": 0.9, "v2": 0.1}
    assert [step["seconds"] for step in ramped["ramp"]["steps"]] == [3600, 14400, None]
    assert answered("models", "split", model, "--end")["ramp"] is None
    assert answered("models", "guard", model, "--remove")["guard"] is None


def test_json_of_every_command_that_reads_or_changes(answered, served, stack):
    view, model = served(versions=2)
    assert {one["name"] for one in answered("views", "list")["views"]} >= {view}
    assert answered("views", "describe", view)["schema_version"] == 1
    (row,) = answered("views", "read", view, "nobody")["rows"]
    assert row["status"] == dict.fromkeys(FEATURES, "NOT_FOUND")
    assert {one["name"] for one in answered("models", "list")["models"]} >= {model}
    assert [v["version"] for v in answered("models", "show", model)["versions"]] == ["v2", "v1"]
    assert answered("models", "promote", model, "v2")["production_version"] == "v2"
    assert answered("models", "rollback", model)["production_version"] == "v1"
    assert answered("models", "split", model, "v1=0.5", "v2=0.5")["split"] == {"v1": 0.5, "v2": 0.5}
    assert answered("models", "split", model, "--end")["split"] is None
    kinds = [event["kind"] for event in answered("models", "lineage", model)["events"]]
    assert kinds[-3:] == ["rolled_back", "split_set", "split_ended"]
    careful_releases(answered, model)
    values = [
        f"--feature={name}={value}" for name, value in zip(FEATURES, (4, 79.5, 3), strict=True)
    ]
    (one,) = answered("predict", model, *values)["predictions"]
    assert (one["prediction"], one["version"]) == (1, "v1")
    rows = answered("predict", model, "u1", "u2", status=1)["predictions"]
    assert [row["error"]["code"] for row in rows] == ["missing_features"] * 2
    assert answered("drift", model)["status"] == "no_reference"
    assert answered("stats", model)["versions"][0]["requests"] == 2
    assert model in {found["model"] for found in answered("stats")["models"]}
    assert "models" in answered("drift")
    assert "schedules" in answered("schedules", "list")
    place = f"s3://{BUCKET}/jobs/{model}/"
    stack.client("s3").put_object(
        Bucket=BUCKET, Key=f"jobs/{model}/in.csv", Body=b"entity_id\nu1\n"
    )
    words = ["--input", f"{place}in.csv", "--output", place, "--max-failed-fraction", "1"]
    job = answered("jobs", "run", model, *words)
    assert (job["status"], job["progress"]["failed"]) == ("SUCCEEDED", 1)
    assert answered("jobs", "watch", job["job_id"])["job_id"] == job["job_id"]
    assert job["job_id"] in {found["job_id"] for found in answered("jobs", "list")["jobs"]}


def test_a_model_whose_check_differs_is_refused(called, served, tmp_path):
    view, model = served()
    wrong = tmp_path / "check.json"
    wrong.write_text(
        json.dumps([{**dict.fromkeys(FEATURES, 1), "prediction": 1, "probability": 0.001}])
    )
    features = ",".join(f"{view}:{name}" for name in FEATURES)
    ended = called(
        "models", "log", model, str(MODEL), "--features", features, "--check", str(wrong)
    )
    assert ended.returncode == 1
    assert "check_failed" in ended.stderr


def test_a_schedule_is_put_replaced_shown_and_deleted(answered, called, served):
    _, model = served()
    place = f"s3://{BUCKET}/jobs/{model}/"
    words = ["schedules", "put", model, "--model", model, "--input", place + "{yyyy}/{mm}.csv"]
    words += ["--output", place, "--expression", "rate(1 day)"]
    made = answered(*words, "--description", "nightly", "--output-format", "parquet")
    assert (made["revision"], made["enabled"], made["description"]) == (1, True, "nightly")
    assert made["next_run"]["input"].startswith(place)
    replaced = answered(*words, "--disabled", "--timezone", "Asia/Tokyo")
    assert (replaced["revision"], replaced["timezone"]) == (2, "Asia/Tokyo")
    assert (replaced["description"], replaced["output_format"]) == (None, "jsonl"), "whole"
    assert (replaced["next_run"], answered("schedules", "show", model)["enabled"]) == (None, False)
    late = called(*words, "--expected-revision", "1")
    assert (late.returncode, late.stdout) == (1, "")
    assert "schedule_changed" in late.stderr
    assert "--expected-revision" in late.stderr
    assert answered("schedules", "delete", model)["status"] == "deleted"
    assert called("schedules", "show", model).returncode == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"--expression": "daily"}, "expression"),
        ({"--timezone": "Mars/Base"}, "timezone"),
        ({"--input": "s3://elsewhere/users.csv"}, "bucket_not_allowed"),
    ],
)
def test_a_schedule_that_could_never_work_is_refused_at_its_place(called, served, changes, said):
    _, model = served()
    place = f"s3://{BUCKET}/jobs/{model}/"
    options = {"--input": place + "in.csv", "--output": place, "--expression": "rate(1 day)"}
    words = [word for pair in (options | changes).items() for word in pair]
    ended = called("schedules", "put", model, "--model", model, *words)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert said in ended.stderr


@pytest.fixture(scope="module")
def first_key(stack_with_keys):
    """A key that may do everything, as the table's tool makes it."""
    store = key_store(KEYS_TABLE, stack_with_keys.aws_endpoint)
    return store.mint("me", [scope.value for scope in Scope]).key


@pytest.fixture
def guarded(called, stack_with_keys, first_key):
    """``guarded(*words)`` → the same, called with a key that may do everything."""

    def call(*words, key=first_key):
        return called(
            *words, NEURALSTREAM_URL=stack_with_keys.url, NEURALSTREAM_API_KEY=key, COLUMNS="200"
        )

    return call


def test_the_page_on_keys_is_run_as_it_is_written(stack_with_keys, environ):
    _, *steps = blocks("docs/howto/keys.md")
    script = "".join(steps).replace("http://127.0.0.1:8000", stack_with_keys.url)
    script = script.replace("http://127.0.0.1:8001", stack_with_keys.aws_endpoint)
    ended = subprocess.run(
        ["/bin/sh", "-eu"],
        input=script.replace(".venv/bin/python", sys.executable),
        cwd=ROOT,
        env=environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    listed = [
        line for line in ended.stdout.splitlines() if " checkout " in line and "active" in line
    ]  # other tests of this stack have minted keys of that name
    assert any("features:read predict" in line for line in listed)
    assert ended.stdout.splitlines()[-1].endswith("of checkout is revoked")


def test_a_minted_key_is_alone_on_standard_output_and_works_until_it_is_revoked(guarded):
    minted = guarded("keys", "mint", "bob", "--scope", "models:read", "--days", "1")
    assert minted.returncode == 0, minted.stderr
    key = minted.stdout.removesuffix("\n")
    assert re.fullmatch("nsk_[a-z2-7]{8}_[a-z2-7]{52}", key)
    assert key not in minted.stderr
    assert "only time" in minted.stderr
    assert guarded("models", "list", key=key).returncode == 0
    refused = guarded("keys", "list", key=key)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "the key lacks the scope keys" in refused.stderr
    assert key not in refused.stderr
    key_id = key.split("_")[1]
    (listed,) = [
        one for one in json.loads(guarded("keys", "list", "--json").stdout)["keys"]
        if one["key_id"] == key_id
    ]  # fmt: skip
    assert (listed["principal"], listed["state"]) == ("bob", "active")
    assert listed["created_by"]["principal"] == "me"
    assert "key" not in listed
    revoked = json.loads(guarded("keys", "revoke", key_id, "--json").stdout)
    assert (revoked["state"], revoked["revoked_by"]) == ("revoked", listed["created_by"])


def test_a_minted_key_as_json_is_the_answer_of_the_route(guarded):
    ended = guarded("keys", "mint", "bob", "--scope", "predict", "--json")
    answer = json.loads(ended.stdout)
    assert answer["key"].startswith(f"nsk_{answer['key_id']}_")
    assert (answer["scopes"], answer["expires_at"]) == (["predict"], None)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("mint", "bob", "--scope", "everything"), 1, "'features:read'"),
        (("mint", "bob"), 2, "--scope"),
        (("mint", "bob", "--scope", "predict", "--days", "0"), 2, "--days"),
        (("revoke", "aaaaaaaa"), 1, "neuralstream keys list"),
    ],
)
def test_a_wrong_use_of_keys_says_what_is_right(guarded, words, status, said):
    ended = guarded("keys", *words)
    assert (ended.returncode, ended.stdout) == (status, "")
    assert said in ended.stderr


def on_terminal(words, environ):
    """What a terminal of 80 columns would get on its standard output."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        words, env=environ, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.DEVNULL
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:  # how Linux tells that the other side is closed
            pass
        finally:
            os.close(ours)
        process.wait()
    return shown.decode()


@pytest.mark.parametrize("no_color", [False, True], ids=["colour", "NO_COLOR"])
def test_a_terminal_gets_colours_unless_it_wants_none_and_lines_that_fit(environ, served, no_color):
    _, model = served()
    environ = {**environ, "NO_COLOR": "1"} if no_color else environ
    shown = on_terminal(["neuralstream", "models", "show", model], environ)
    assert ("\x1b[32m" in shown) is not no_color
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "production" in plain
    assert max(map(len, plain.splitlines())) <= 80


def test_a_pipe_gets_neither_colours_nor_notes(environ, served):
    _, model = served()
    ended = subprocess.run(
        ["neuralstream", "models", "show", model],  # noqa: S607 - of the test's own PATH
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "production" in ended.stdout
    assert "\x1b" not in ended.stdout + ended.stderr
    assert ended.stderr == ""


def test_smoke_passes_with_a_key_and_leaves_only_a_model_that_reads_no_view(
    called, stack_with_keys
):
    store = key_store(KEYS_TABLE, stack_with_keys.aws_endpoint)
    key = store.mint("smoke", [scope.value for scope in Scope]).key
    ended = called("smoke", "--url", stack_with_keys.url, "--api-key", key, "--json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert key not in ended.stdout + ended.stderr
    found = json.loads(ended.stdout)
    steps = {step["name"]: step["status"] for step in found["steps"]}
    assert steps.pop("model") == "left"
    assert set(steps.values()) == {"ok"}
    assert {"refuse without key", "view", "write", "read", "register", "promote", "predict"} < set(
        steps
    )
    assert {"stats", "drift", "archive", "delete view"} < set(steps)
    assert all(step["milliseconds"] > 0 for step in found["steps"] if step["status"] == "ok")
    headers = {"x-api-key": key}
    gone = stack_with_keys.request("GET", f"/features/views/{found['view']}", headers=headers)
    assert gone.status == 404
    path = f"/models/{found['model']}/versions"
    versions = stack_with_keys.request("GET", path, headers=headers).json()["versions"]
    assert [
        (one["stage"], one["feature_views"]) for one in versions if one["stage"] != "archived"
    ] == [("production", {})]


def test_smoke_names_the_step_that_failed_and_cleans_up_after_it(called, stack_with_keys):
    store = key_store(KEYS_TABLE, stack_with_keys.aws_endpoint)
    scopes = [Scope.FEATURES_READ, Scope.FEATURES_WRITE]
    key = store.mint("writer", [scope.value for scope in scopes]).key
    ended = called("smoke", "--url", stack_with_keys.url, "--api-key", key, "--json")
    assert ended.returncode == 1
    found = json.loads(ended.stdout)
    failed = [step for step in found["steps"] if step["status"] == "failed"]
    assert failed[0]["name"] == "register"
    assert "missing_scope" in failed[0]["found"]
    assert not found["passed"]
    gone = stack_with_keys.request(
        "GET", f"/features/views/{found['view']}", headers={"x-api-key": key}
    )
    assert gone.status == 404


def test_smoke_fails_on_a_stack_that_answers_without_a_key(called, stack):
    ended = called("smoke", "--url", stack.url, "--api-key", "a key", "--json")
    assert ended.returncode == 1
    steps = json.loads(ended.stdout)["steps"]
    assert [(one["name"], one["status"]) for one in steps] == [
        ("health", "ok"),
        ("refuse without key", "failed"),
    ]


def test_smoke_of_a_stack_that_is_not_there_exits_with_3(called):
    ended = called("smoke", "--url", "http://127.0.0.1:1", "--json")
    assert ended.returncode == 3
    (step,) = json.loads(ended.stdout)["steps"]
    assert (step["name"], step["status"]) == ("health", "failed")


def test_the_smoke_tests_model_is_the_readmes(registration):
    assert MODEL.read_bytes() == base64.b64decode(registration["artifact_base64"])
