"""What the pages name in passing exists: files, commands, parameters, routes, environment variables."""

import json
import re

import botocore.session
import pytest

from tests.support.template import ROOT

PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "samconfig.toml"]
)
FOLDERS = r"benchmarks|docs|events|examples|functions|layers|neuralstream_\w+|requirements|tests"
CLI_ONLY = {"s3 sync"}
"""What the AWS CLI makes of several API calls."""


def spoken(page):
    """The code spans of a page, and the comments of a settings file."""
    text = (ROOT / page).read_text()
    if page.endswith(".toml"):
        return re.findall(r"^# (\S.*)$", text, re.MULTILINE)
    return re.findall(
        r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    )


@pytest.mark.parametrize("page", PAGES)
def test_a_file_that_is_named_exists(page):
    for span in spoken(page):
        path = re.fullmatch(rf"((?:{FOLDERS}|\.github|\.ci)/[\w./-]*)", span)
        if path:
            relative = path[1]
            assert (ROOT / relative).exists() or (ROOT / "layers/core" / relative).exists(), span


@pytest.mark.parametrize("page", PAGES)
def test_a_command_that_is_named_exists(page):
    makefile = (ROOT / "Makefile").read_text()
    session = botocore.session.Session()
    for span in spoken(page):
        words = re.sub(r"^(?:[A-Z_]+=\S+ )+", "", span).split()
        if words[:1] == ["make"]:
            for target in [word for word in words[1:] if "=" not in word]:
                assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), span
        elif words[:2] == ["python", "-m"] and len(words) > 2:
            source = ROOT / (words[2].replace(".", "/") + ".py")
            assert source.exists(), span
            for option in [word for word in words if word.startswith("--")]:
                assert f'"{option}"' in source.read_text(), span
        elif words[:1] == ["sam"] and len(words) > 1:
            assert words[1] in ("build", "deploy", "delete", "validate", "local"), span
        elif words[:1] == ["aws"] and len(words) > 2 and " ".join(words[1:3]) not in CLI_ONLY:
            model = session.get_service_model("s3" if words[1] == "s3api" else words[1])
            commands = {botocore.xform_name(name, "-") for name in model.operation_names}
            assert words[2] in commands, span


@pytest.mark.parametrize("page", PAGES)
def test_a_route_that_is_named_exists(page):
    paths = json.loads((ROOT / "functions/console/openapi.json").read_text())["paths"]
    for span in spoken(page):
        route = re.fullmatch(r"(GET|PUT|POST|DELETE) (/[^\s?]*)(\?\S*)?", span)
        if route and "…" not in route[2]:
            declared = {
                re.sub(r"\{[^}]+\}", "{}", path)
                for path, operations in paths.items()
                if route[1].lower() in operations
            }
            assert re.sub(r"\{[^}]+\}", "{}", route[2]) in declared, span
