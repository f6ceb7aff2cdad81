"""``neuralstream up`` starts the checkout it is called in, or says what to do."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.template import ROOT

MAIN = "from neuralstream_client.command import main; main()"


@pytest.fixture
def up(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def run(folder, *words):
        return subprocess.run(
            [sys.executable, "-c", MAIN, "up", *words],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_it_runs_make_in_the_checkout_around_the_current_folder(up, tmp_path):
    (tmp_path / "Makefile").write_text('run:\n\t@echo "port $(PORT) auth $(AUTH)"\n')
    (tmp_path / "template.yaml").touch()
    inner = tmp_path / "neuralstream_local" / "inner"
    inner.mkdir(parents=True)
    ended = up(inner, "--port", "9000", "--auth", "on")
    assert ended.stdout == "port 9000 auth on\n"
    assert ended.returncode == 0


def test_outside_of_a_checkout_it_says_what_to_do(up, tmp_path):
    ended = up(tmp_path)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.splitlines() == [
        "error: this is no checkout of NeuralStream.",
        "What to do: clone the repository and call this inside it.",
    ]
