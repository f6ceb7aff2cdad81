"""Every fenced block of the documentation has a language that a test reads."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.support.documents import ALL_PAGES, blocks, fenced

RUN = {
    "sh": "tests/unit/documents/test_commands.py",
    "python": "tests/integration/examples/test_python_pages.py",
    "json": "this file",
    "yaml": "this file",
    "mermaid": "the site",
    "text": "nobody: it is no code",
}
"""By language, what reads its blocks."""


@pytest.mark.parametrize("page", ALL_PAGES)
def test_each_block_names_a_language_that_a_test_reads(page: str) -> None:
    assert {language for language, _ in fenced(page)} - set(RUN) == set()


@pytest.mark.parametrize("page", ALL_PAGES)
def test_json_and_yaml_are_valid(page: str) -> None:
    for block in blocks(page, "json"):
        assert isinstance(json.loads(block), dict)
    for block in blocks(page, "yaml"):
        assert yaml.safe_load(block) is not None
