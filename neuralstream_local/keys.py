"""API keys from the command line, on AWS or on the laptop stack.

::

    python -m neuralstream_local.keys mint --principal alice --scope predict --scope features:read
    python -m neuralstream_local.keys list
    python -m neuralstream_local.keys revoke KEY_ID

The table is ``--table``, else ``NEURALSTREAM_KEYS_TABLE``, else the laptop stack's. On AWS use the
stack's output ``KeysTableName`` and your own credentials; for the laptop stack pass its AWS address::

    python -m neuralstream_local.keys --endpoint http://127.0.0.1:8001 list
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from neuralstream_core.errors import NeuralStreamError
from neuralstream_core.keys import KeyRecord, KeyStore, Scope
from neuralstream_core.table import Table
from neuralstream_core.time import iso, system_clock, to_micros
from neuralstream_local.aws import REGION

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["key_store", "main"]


def key_store(table: str, endpoint: str | None) -> KeyStore:
    """The store behind ``table`` on AWS, or at ``endpoint``, the laptop stack's AWS address."""
    import boto3

    laptop: dict[str, Any] = {}
    if endpoint is not None:  # the emulation takes any credentials
        laptop = {"endpoint_url": endpoint, "region_name": REGION}
        laptop |= {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    return KeyStore(Table(boto3.client("dynamodb", **laptop), table))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it did what it was asked."""
    options = _options(arguments)
    table = options.table or os.environ.get("NEURALSTREAM_KEYS_TABLE", "")
    if not table:
        from neuralstream_local.laptop import KEYS_TABLE

        table = KEYS_TABLE
    store = key_store(table, options.endpoint)
    try:
        if options.command == "mint":
            _mint(store, options)
        elif options.command == "list":
            sys.stdout.writelines(map(_line, store.list_keys()))
        else:
            sys.stdout.write(_line(store.revoke(options.key_id)))
    except NeuralStreamError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 1
    return 0


def _mint(store: KeyStore, options: argparse.Namespace) -> None:
    expires = None
    if options.days is not None:
        expires = to_micros(datetime.now(UTC) + timedelta(days=options.days))
    minted = store.mint(
        options.principal,
        options.scope or [scope.value for scope in Scope],
        expires_at=expires,
        description=options.description,
    )
    # The key alone on standard output, so that KEY=$(...) works; everything else beside it.
    sys.stdout.write(f"{minted.key}\n")
    sys.stderr.write(f"{_line(minted.record)}This is the only time the key is shown.\n")


def _line(record: KeyRecord) -> str:
    if record.revoked_at is not None:
        state = f"revoked {iso(record.revoked_at)}"
    elif record.active(system_clock()):
        state = f"active until {iso(record.expires_at)}" if record.expires_at else "active"
    else:
        state = "expired"
    scopes = ",".join(sorted(record.scopes))
    words = [record.key_id, record.principal, scopes, iso(record.created_at), state]
    return "\t".join(words) + "\n"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", help="default: NEURALSTREAM_KEYS_TABLE, else the laptop stack's")
    parser.add_argument("--endpoint", help="AWS address of the laptop stack; not for real AWS")
    commands = parser.add_subparsers(dest="command", required=True)
    mint = commands.add_parser("mint", help="make a key and show it once")
    mint.add_argument("--principal", required=True, help="who holds it; appears in audit events")
    mint.add_argument(
        "--scope",
        action="append",
        choices=[scope.value for scope in Scope],
        help="may be given several times; all scopes when not given",
    )
    mint.add_argument("--days", type=int, help="days until it expires; never when not given")
    mint.add_argument("--description", default="")
    commands.add_parser("list", help="every key, without its secret")
    revoke = commands.add_parser("revoke", help="end a key")
    revoke.add_argument("key_id")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
