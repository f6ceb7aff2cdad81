"""A client whose calls a test can cut short: passed in where a boto3 client goes, nothing is patched."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

Hook = Callable[[str], None]


def _nothing(_operation: str) -> None:
    """The hook that lets every call pass."""


class Interposed:
    """Every call of ``client`` runs ``before(operation)``, the call itself, then ``after(operation)``; what
    a hook raises, the caller sees: before, as if the call never left; after, as if its answer was lost."""

    def __init__(self, client: Any, before: Hook = _nothing, after: Hook = _nothing) -> None:
        self._client = client
        self._before = before
        self._after = after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name in ("meta", "generate_presigned_url"):  # no call of the service
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._before(name)
            answer = found(*args, **kwargs)
            self._after(name)
            return answer

        return call


class Died(BaseException):
    """The process ends here; nothing in the product may catch it."""


WRITES = frozenset(
    {
        "put_object",
        "put_item",
        "update_item",
        "delete_item",
        "batch_write_item",
        "transact_write_items",
    }
)


class Cut:
    """A hook that ends the process before its ``at``-th write. (Ending it before a read leaves the same
    state as ending it before the next write.)"""

    def __init__(self, at: int) -> None:
        self._left = at
        self._one_at_a_time = threading.Lock()

    def __call__(self, operation: str) -> None:
        if operation not in WRITES:
            return
        with self._one_at_a_time:
            self._left -= 1
            if self._left == 0:
                raise Died


class FailsOnce:
    """A hook that makes the ``at``-th call fail as a throttled service does."""

    def __init__(self, at: int) -> None:
        self._left = at

    @property
    def happened(self) -> bool:
        return self._left <= 0

    def __call__(self, operation: str) -> None:
        self._left -= 1
        if self._left == 0:
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, operation)
