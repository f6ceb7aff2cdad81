"""``neuralstream keys``: API keys of people and services."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, cast, get_args

import typer

from neuralstream_client import NeuralStream
from neuralstream_client._sync.keys import KeyScope
from neuralstream_client.answers import ActorAnswer
from neuralstream_client.command.output import moment, notes, table
from neuralstream_client.command.running import Shown, command

__all__ = ["app"]

app = typer.Typer(
    name="keys", help="API keys; the own one needs the scope keys.", no_args_is_help=True
)


@command(app, "mint")
def _mint(
    ns: NeuralStream,
    principal: Annotated[str, typer.Argument(help="Who holds it.")],
    scope: Annotated[
        list[str],
        typer.Option(
            help=f"What it may do; several times. One of {', '.join(get_args(KeyScope))}."
        ),
    ],
    days: Annotated[
        int | None, typer.Option(min=1, max=36500, help="Until it expires; never by default.")
    ] = None,
    description: Annotated[str, typer.Option(help="For people.")] = "",
) -> Shown:
    """Make a key and print it once: alone on standard output, so that KEY=$(…) takes it."""
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    # typer has no list of literals; the stack refuses others
    scopes = cast("list[KeyScope]", scope)
    minted = ns.keys.mint(principal, scopes, expires_at=expires_at, description=description)
    until = moment(minted.expires_at) or "it is revoked"
    notes().print(
        f"{minted.key_id} of {minted.principal}: {', '.join(minted.scopes)}; until {until}.\n"
        "This is the only time the key is shown.",
        soft_wrap=True,
    )
    return Shown(minted, [minted.key])


@command(app, "list")
def _list(ns: NeuralStream) -> Shown:
    """All keys by id, without their secrets."""
    found = list(ns.keys.list())
    rows = (
        [
            one.key_id,
            one.principal,
            " ".join(one.scopes),
            one.state,
            moment(one.created_at),
            _who(one.created_by),
            moment(one.revoked_at or one.expires_at),
            _who(one.revoked_by),
        ]
        for one in found
    )
    columns = ("key", "principal", "scopes", "state", "created", "by", "ends", "ended by")
    return Shown({"keys": found}, [table(columns, rows)])


@command(app, "revoke")
def _revoke(ns: NeuralStream, key_id: Annotated[str, typer.Argument()]) -> Shown:
    """End a key; what it is used for stops within 60 seconds."""
    one = ns.keys.revoke(key_id)
    return Shown(one, [f"{one.key_id} of {one.principal} is {one.state}"])


def _who(actor: ActorAnswer | None) -> str | None:
    if actor is None:
        return None
    return f"{actor.principal} ({actor.key_id})" if actor.key_id else actor.principal
