"""The client's wheel in a bare environment, used against a running stack: the library, then its command.

    make test-wheel

Prints what the installation takes; exits 1 if it is over its limit or the client does not work.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from neuralstream_local.stack import Stack

MAX_MEGABYTES = 15
"""Of the core installation with its dependencies, unpacked, without the compiled files that Python adds."""

USE = """
import sys
from neuralstream_client import FeatureView, NeuralStream
from neuralstream_client.errors import ConfigurationError, NotFound

heavy = {"numpy", "pandas", "rich", "yaml", "neuralstream_core"} & set(sys.modules)
assert not heavy, heavy
with NeuralStream() as ns:
    rows = [{"user_id": i, "n": i} for i in range(10)]
    ns.features.apply(FeatureView.from_frame("wheel", rows, entity="user_id"))
    assert ns.features.write(rows, view="wheel").written == 10
    table = ns.features.read([3, 4], ["wheel:n"])
    assert table.columns == {"wheel:n": [3, 4]}
    try:
        ns.predict("no_such_model", 3)
    except NotFound as error:
        assert error.code == "model_not_found"
    try:
        table.to_pandas()
    except ConfigurationError as error:
        assert "pip install '.[pandas]' in a checkout" in str(error), error
    else:
        raise AssertionError("pandas is here")
"""


def installed(what, folder):
    """The Python of an environment, new or not, that has the wheel and its dependencies alone."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python)]
    subprocess.run([*uv, str(what)], check=True)
    return python


def megabytes(folder):
    """Size of the installed packages."""
    (packages,) = (folder / "lib").glob("python3.*/site-packages")
    files = [path for path in packages.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return sum(path.stat().st_size for path in files) / 1e6


def main(wheel):
    with tempfile.TemporaryDirectory() as folder, Stack() as stack:
        python = installed(wheel, Path(folder))
        size = megabytes(Path(folder))
        environ = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        environ["NEURALSTREAM_URL"] = stack.url
        used = subprocess.run([python, "-I", "-c", USE], env=environ, cwd=folder, check=False)
        installed(f"{wheel}[command]", Path(folder))
        smoke = [python.with_name("neuralstream"), "smoke"]
        tried = subprocess.run(smoke, env=environ, cwd=folder, check=False)
    fits = size <= MAX_MEGABYTES
    print(f"{wheel.name}: {wheel.stat().st_size / 1e3:.0f} kB, installed {size:.1f} MB")
    print("the installed client works" if used.returncode == 0 else "the installed client FAILED")
    print(f"its command {'works' if tried.returncode == 0 else 'FAILED'}")
    if not fits:
        print(f"FAILED: more than {MAX_MEGABYTES} MB")
    return int(not fits or used.returncode != 0 or tried.returncode != 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
