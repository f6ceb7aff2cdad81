"""Requests that a web page of somebody else makes a browser send to a server on 127.0.0.1.

The laptop's servers ask for no key, and any page that a person has open may send to 127.0.0.1: a form or a
script to another origin, or a script to its own, whose name then resolves to 127.0.0.1 (DNS rebinding).
The first have an ``Origin`` that is not ours, the second a ``Host`` that is not; programs have neither.
"""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

__all__ = ["REFUSAL", "from_elsewhere"]

REFUSAL: Final = (
    "Forbidden: this server answers 127.0.0.1 and localhost, and no page of another origin"
)


def from_elsewhere(host: str | None, origin: str | None) -> bool:
    """Whether a page of another origin, or under another name, sent the request.

    Args:
        host: the header ``Host``; ``None`` where there is none.
        origin: the header ``Origin``; browsers send it with whatever may change something.
    """
    if host is not None and not _is_loopback(host):
        return True
    return origin is not None and origin not in (f"http://{host}", f"https://{host}")


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761: never anywhere else
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
