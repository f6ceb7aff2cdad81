"""The command ``neuralstream``; it needs the extra ``command``."""

from __future__ import annotations

import sys

from neuralstream_client.extras import how_to_add

__all__ = ["main"]


def main() -> None:
    """Run the command of ``sys.argv`` and exit with its status."""
    try:
        from neuralstream_client.command.app import app
    except ModuleNotFoundError as error:
        if error.name not in {"rich", "typer"}:
            raise
        sys.stderr.write(
            f"error: the command needs {error.name}.\nWhat to do: {how_to_add('command')}\n"
        )
        sys.exit(2)
    app(prog_name="neuralstream")
