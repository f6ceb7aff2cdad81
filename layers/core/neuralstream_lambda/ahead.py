"""Loading before the first request where nobody waits for it.

On demand, a function imports as little as it can, and each lazy import is paid for by the request that
needs it first. Under SnapStart (before the snapshot) and provisioned concurrency (before the environment
takes traffic) that is the wrong way round: whatever is loaded then costs no request anything.

What is loaded must be right in every environment restored from one snapshot, for as long as the version
lives. So only code and static data: no client (it would hold credentials), no connection, no clock. The
state of random number generators is made anew after a restore.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib import import_module, util
from typing import Final

__all__ = ["load_ahead"]

_AHEAD: Final = frozenset({"snap-start", "provisioned-concurrency"})
"""Values of ``AWS_LAMBDA_INITIALIZATION_TYPE`` under which a function starts before its first request."""

_SHARED: Final = ("endpoints", "partitions", "sdk-default-configuration", "_retry")
"""botocore's data files that every client reads."""


def load_ahead(modules: Iterable[str], services: Iterable[str] = ()) -> None:
    """Import ``modules`` and read botocore's descriptions of ``services``, if it is the time for that.

    Args:
        services: names as boto3 has them; building their clients is then a matter of milliseconds.
    """
    initialization = os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
    if initialization not in _AHEAD:
        return
    for name in modules:
        import_module(name)
    _read_descriptions(services)
    if initialization == "snap-start" and util.find_spec("snapshot_restore_py"):
        import_module("snapshot_restore_py").register_after_restore(_renew_randomness)


def _read_descriptions(services: Iterable[str]) -> None:
    """Into the loader of boto3's default session, from which clients are built later."""
    names = tuple(services)
    if not names:
        return
    import boto3
    from botocore.session import get_session

    session = get_session()
    boto3.setup_default_session(botocore_session=session)
    loader = session.get_component("data_loader")
    for data in _SHARED:
        loader.load_data(data)
    for name in names:
        loader.load_service_model(name, "service-2")
        loader.load_service_model(name, "endpoint-rule-set-1")


def _renew_randomness() -> None:
    """Give each restored environment a sequence of its own: retries of all would else wait alike.

    ``secrets`` and ``uuid`` need nothing: they ask the operating system each time.
    """
    import random
    import sys

    random.seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
