"""Modules loaded before the first request, where no request waits for it.

On demand, a function imports as little as it can, and the request that first needs a lazy import waits for
it. Under SnapStart (before the snapshot) and provisioned concurrency (before the environment takes traffic),
what is loaded early delays no request.

Every environment restored from a snapshot has what was loaded. So that is only code and static data: no
client (it would hold credentials), no connection, no clock. Random number generators are seeded anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from importlib import import_module, util
from typing import Final

__all__ = ["load_ahead"]

_AHEAD: Final = frozenset({"snap-start", "provisioned-concurrency"})
"""Values of ``AWS_LAMBDA_INITIALIZATION_TYPE`` under which a function starts before its first request."""

_SHARED: Final = ("endpoints", "partitions", "sdk-default-configuration", "_retry")
"""botocore's data files that every client reads."""


def load_ahead(modules: Iterable[str], services: Sequence[str] = ()) -> None:
    """Import ``modules`` and read botocore's descriptions of ``services``, if no request waits for it.

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


def _read_descriptions(services: Sequence[str]) -> None:
    """Into the loader of boto3's default session, from which clients are built later."""
    if not services:
        return
    import boto3
    from botocore.session import get_session

    session = get_session()
    boto3.setup_default_session(botocore_session=session)
    loader = session.get_component("data_loader")
    for data in _SHARED:
        loader.load_data(data)
    for name in services:
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
