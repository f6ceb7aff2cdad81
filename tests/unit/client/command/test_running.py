"""What all commands have in common: options, exit statuses, errors, what goes where."""

from __future__ import annotations

import json
import subprocess
import sys

import httpx
import pytest
import typer
from typer.testing import CliRunner

from neuralstream_client.command.app import app
from neuralstream_client.command.cures import in_command
from neuralstream_client.cures import CURES
from tests.support.template import ROOT

KEY = "ns_secret_key"
PROBLEM = {
    "type": "urn:x",
    "title": "t",
    "status": 404,
    "detail": "no model m",
    "code": "model_not_found",
}


def invoke(answer, *words, key=KEY):
    def respond(request):
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer

    http = httpx.Client(transport=httpx.MockTransport(respond))
    environ = {"NEURALSTREAM_URL": "http://stack", "NEURALSTREAM_API_KEY": key}
    return CliRunner().invoke(app, list(words), obj=http, env=environ)


def leaves(group, path=()):
    """Every command with the words that call it."""
    for name, one in group.commands.items():
        if hasattr(one, "commands"):
            yield from leaves(one, (*path, name))
        else:
            yield (*path, name), one


COMMANDS = dict(leaves(typer.main.get_command(app)))


@pytest.mark.parametrize("words", [words for words in COMMANDS if words != ("up",)], ids=" ".join)
def test_every_command_takes_the_stack_and_json_and_says_what_it_does(words):
    options = {option for parameter in COMMANDS[words].params for option in parameter.opts}
    assert {"--url", "--api-key", "--json"} <= options
    assert COMMANDS[words].help


def test_the_page_has_every_command_and_no_other():
    lines = (ROOT / "docs/command.md").read_text().splitlines()
    named = [line.split("`")[1].split()[1:] for line in lines if line.startswith("| `neuralstream")]
    assert {tuple(words) for words in named} == set(COMMANDS)


def test_a_refusal_is_one_line_what_and_one_line_the_cure_and_exits_with_1():
    ended = invoke(httpx.Response(404, json=PROBLEM), "models", "show", "m", "--json")
    assert ended.exit_code == 1
    assert ended.stdout == ""
    assert ended.stderr.splitlines() == [
        "error: no model m [404 model_not_found]",
        "What to do: compare the name with `neuralstream models list`.",
    ]


def test_no_answer_exits_with_3():
    ended = invoke(httpx.UnsupportedProtocol("no way"), "stats")
    assert ended.exit_code == 3
    assert "GET http://stack/monitoring/stats: no way" in ended.stderr
    assert "What to do: check the address" in ended.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("models", "split", "m", "v1"),
        ("models", "log", "m", "model.pkl", "--features", "a:b"),
        ("predict", "m", "1", "2", "--feature", "a=1"),
        ("views", "plan", "absent.yaml"),
        ("stats", "--url", "ftp://stack"),
        ("stats", "--wrong"),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2_and_sends_nothing(words):
    ended = invoke(lambda request: pytest.fail(f"{request.url} was asked"), *words)
    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert "--help" in ended.stderr


def test_without_an_address_it_says_where_to_give_one():
    ended = CliRunner().invoke(app, ["models", "list"], env={"NEURALSTREAM_URL": ""})
    assert ended.exit_code == 2
    assert "pass --url" in ended.stderr


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(401, json={"message": f"the key {KEY} is unknown"}),
        httpx.Response(200, json={"sent": KEY}),
        RuntimeError(f"header {KEY}"),
    ],
    ids=["refusal", "foreign answer", "defect"],
)
def test_the_key_is_never_shown_and_no_traceback(answer):
    ended = invoke(answer, "models", "show", "m")
    assert ended.exit_code == 1
    assert KEY not in ended.output
    assert "Traceback" not in ended.output
    assert "What to do: " in ended.stderr


def test_a_page_that_is_no_json_is_no_answer_of_a_stack():
    ended = invoke(httpx.Response(200, text="<html>"), "stats", "m")
    assert ended.exit_code == 1
    assert ended.stderr.startswith("error: ")
    assert "Traceback" not in ended.output


@pytest.mark.parametrize("code", CURES)
def test_a_cure_speaks_of_the_command_not_of_python(code):
    assert "ns." not in in_command(CURES[code])
    assert "=…" not in in_command(CURES[code]).replace("idempotency_key=…", "")


def test_json_has_fields_of_a_later_release_too():
    answer = {"status": "deleted", "name": "nightly", "since": "v9"}
    ended = invoke(httpx.Response(200, json=answer), "schedules", "delete", "nightly", "--json")
    assert json.loads(ended.stdout) == answer
    assert ended.exit_code == 0


def test_importing_the_client_imports_no_library_of_the_command():
    # Not rich: httpx itself imports it where it is installed.
    code = (
        "import sys, neuralstream_client as client\n"
        "print({'typer', f'{client.__name__}.command'} & set(sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout == "set()\n"


def test_without_the_extra_the_command_says_what_to_install():
    code = (
        "import sys; sys.modules['typer'] = None; sys.argv = ['neuralstream', 'stats']\n"
        "from neuralstream_client.command import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == (
        "What to do: pip install '.[command]' in a checkout, or '[command]' after the path of the wheel"
    )
    assert "Traceback" not in ended.stderr
