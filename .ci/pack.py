"""Pack a built bundle: one zip from which `sam deploy` deploys without building.

    python .ci/pack.py .aws-sam/build dist/neuralstream-1.0.0-x86_64.zip

The zip holds one folder named as the file: what `sam build` wrote, as ``.aws-sam/build``, and the files of
the checkout that the template or the person who deploys needs. Files are in the order of their names and
carry no time, so that equal content gives an equal zip. Exits 1 when the build is missing or its template
names a file that the zip would not have.
"""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path

BESIDE = ("LICENSE", "SECURITY.md", "docs/deploy.md", "docs/deploy-role.yaml", "samconfig.toml")
FOLDERS = ("statemachines",)
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold."""


def members(built: Path) -> dict[str, Path]:
    """The files of the zip by their path in its folder."""
    found = {
        f".aws-sam/build/{path.relative_to(built).as_posix()}": path
        for path in built.rglob("*")
        if path.is_file()
    }
    sources = [Path(name) for name in (*BESIDE, "template.yaml")]
    sources += [path for name in FOLDERS for path in Path(name).rglob("*") if path.is_file()]
    return found | {path.as_posix(): path for path in sources}


def missing(built: Path, names: set[str]) -> list[str]:
    """What the built template names and the zip would not have."""
    base = Path(".aws-sam/build")
    named = re.findall(
        r"^\s+(?:CodeUri|ContentUri|DefinitionUri): (\S+)$",
        (built / "template.yaml").read_text(),
        re.MULTILINE,
    )
    wanted = {(Path("/") / base / name).resolve().relative_to("/").as_posix() for name in named}
    return sorted(
        path
        for path in wanted
        if path not in names and not any(name.startswith(f"{path}/") for name in names)
    )


def pack(built: Path, target: Path) -> None:
    files = members(built)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"{target.stem}/{name}", EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            executable = files[name].stat().st_mode & 0o111
            entry.external_attr = (0o100755 if executable else 0o100644) << 16
            packed.writestr(entry, files[name].read_bytes())


def main(built: Path, target: Path) -> int:
    if not (built / "template.yaml").is_file():
        print(f"{built} holds no built template: run `make bundle`", file=sys.stderr)
        return 1
    if absent := missing(built, set(members(built))):
        print(f"the template names {', '.join(absent)}, which is not packed", file=sys.stderr)
        return 1
    target.parent.mkdir(parents=True, exist_ok=True)
    pack(built, target)
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
