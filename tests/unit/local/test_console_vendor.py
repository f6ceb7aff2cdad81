"""The console's libraries are the pinned ones, with their licences, and small."""

from __future__ import annotations

import gzip
import json
import shutil

import pytest

from neuralstream_local import console_vendor
from neuralstream_local.children import ROOT

MOST_BYTES = 400 * 1024
"""Of everything the page may load, gzipped."""


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the command reads and writes."""
    for folder in ("console", "tests/browser/vendor"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def test_the_committed_files_are_those_of_the_pinned_packages():
    assert console_vendor.main(["--check"]) == 0


def test_a_file_that_is_changed_or_missing_or_pinned_by_nothing_is_named(checkout):
    (checkout / "console/vendor/htm-preact.js").write_text("changed")
    (checkout / "console/vendor/uplot.css").unlink()
    (checkout / "console/vendor/left-over.js").write_text("")
    said = " ".join(console_vendor.mismatches(checkout))
    assert "htm-preact.js is not the file" in said
    assert "uplot.css is missing" in said
    assert "left-over.js belongs to no pinned package" in said


def test_without_npm_the_command_says_so_and_changes_nothing(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(console_vendor.VendorError, match=r"install Node\.js"):
        console_vendor.fetch(checkout)
    assert console_vendor.mismatches(checkout) == []


def test_every_package_keeps_its_licence_beside_it():
    for package in json.loads((ROOT / console_vendor.PINS).read_text())["packages"]:
        kept = [ROOT / taken["to"] for taken in package["files"].values()]
        licences = [path for path in kept if path.name.endswith("LICENSE.txt")]
        assert [path for path in licences if "opyright" in path.read_text()], package["name"]


def test_everything_the_page_may_load_stays_small():
    loaded = [
        path
        for path in (ROOT / "console").rglob("*")
        if path.suffix in {".js", ".css", ".html", ".svg"}
    ]
    assert sum(len(gzip.compress(path.read_bytes())) for path in loaded) <= MOST_BYTES
