"""Files of a page: named exactly, kept for good only below the digest of them all."""

import pytest

from neuralstream_core.errors import NotFound
from neuralstream_lambda.assets import Assets


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pages").mkdir()
    (tmp_path / "index.html").write_text('<script src="console/{digest}/app.js"></script>')
    (tmp_path / "app.js").write_text("a")
    (tmp_path / "pages" / "one.js").write_text("b")
    (tmp_path / "app.LICENSE.txt").write_text("kept, not served")
    return tmp_path


def test_the_page_names_a_folder_whose_files_may_be_kept_for_good(folder):
    assets = Assets(folder)
    assert f"console/{assets.digest}/app.js" in assets.page()
    for name, text in (("app.js", "a"), ("pages/one.js", "b")):
        asset, lasting = assets.file(f"{assets.digest}/{name}")
        assert (asset.text, lasting) == (text, True)
        assert assets.file(name) == (asset, False)
    assert asset.media_type.startswith("text/javascript")


@pytest.mark.parametrize("name", ["app.js", "pages/one.js"])
def test_another_content_is_another_folder_and_the_former_one_is_gone(folder, name):
    before = Assets(folder).digest
    (folder / name).write_text("c")
    assets = Assets(folder)
    assert assets.digest != before
    with pytest.raises(NotFound):
        assets.file(f"{before}/app.js")


@pytest.mark.parametrize(
    "name", ["", "/", "app", "../app.js", "./app.js", "pages", "pages//one.js", "app.LICENSE.txt"]
)
def test_only_the_exact_name_of_a_served_file_is_found(folder, name):
    assets = Assets(folder)
    for path in (name, f"{assets.digest}/{name}"):
        with pytest.raises(NotFound):
            assets.file(path)
