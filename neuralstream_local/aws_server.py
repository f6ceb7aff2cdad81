"""The AWS emulation: moto in a process of its own, with the Lambda Invoke API in front.

moto runs Lambda functions in Docker. Here ``POST /2015-03-31/functions/{name}/invocations`` goes to
the worker (`neuralstream_local.worker`) instead, so that moto's Step Functions interpreter, and any AWS
client pointed at this port, calls the real handlers.

    python -m neuralstream_local.aws_server --port 8001
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from neuralstream_local.aws import ACCOUNT, REGION, client_environ
from neuralstream_local.aws_front import AwsFront, moto
from neuralstream_local.children import announce, start_child
from neuralstream_local.http_server import HttpServer
from neuralstream_local.kept import Kept

_IDLE_SECONDS: Final = 3600
"""Longer than any client keeps a connection, so that none meets one that is being closed."""
_CONNECTIONS: Final = 10_000


def main(argv: list[str] | None = None) -> None:
    """Serve until terminated or until the parent is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--keep", type=Path, default=None, help="folder that outlives the process")
    options = parser.parse_args(argv)
    start_child("AWS")

    front = AwsFront(moto(), None if options.keep is None else Kept(options.keep, ACCOUNT, REGION))
    try:
        server = HttpServer(
            front,
            options.port,
            limited=False,
            arrival_seconds=_IDLE_SECONDS,
            connections=_CONNECTIONS,
        )
    except OSError as error:
        announce(error=f"port {options.port} cannot be used: {error.strerror}")
        sys.exit(1)
    endpoint = f"http://127.0.0.1:{server.port}"
    os.environ.update(client_environ(endpoint))
    os.environ["MOTO_PORT"] = str(server.port)
    announce(port=server.port, endpoint=endpoint)
    server.serve()


if __name__ == "__main__":
    main()
