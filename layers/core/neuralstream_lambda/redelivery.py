"""For events that are delivered more than once: which to deliver again, and acts done once for each key.

Owned items: ``PK = DONE#{namespace}#{what}``, ``SK`` a hash of the key. An act in progress holds its key
until the invocation could have ended; one that raised gives it back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_dynamodb import DynamoDBClient

__all__ = ["batch_failures", "done_once"]

_KEPT_SECONDS: Final = 30 * 86400
"""Longer than any queue or stream keeps what is to be repeated (14 days)."""


def done_once(
    client: DynamoDBClient, table: str, namespace: str, what: str, context: LambdaContext
) -> Callable[[str, Callable[[], None]], None]:
    """``once(key, act)`` for one invocation: calls ``act`` unless a call with ``key`` returned before.

    Raises (``once``):
        Exception: what ``act`` raised; or the key is in use, or the table cannot be reached.
    """
    from aws_lambda_powertools.utilities.idempotency import (
        DynamoDBPersistenceLayer,
        IdempotencyConfig,
        idempotent_function,
    )

    store = DynamoDBPersistenceLayer(
        table_name=table,
        key_attr="PK",
        sort_key_attr="SK",
        static_pk_value=f"DONE#{namespace}#{what}",
        expiry_attr="expires_at",
        boto3_client=client,
    )
    config = IdempotencyConfig(
        expires_after_seconds=_KEPT_SECONDS, hash_function="sha256", lambda_context=context
    )

    def once(key: str, act: Callable[[], None]) -> None:
        def keyed(*, key: str) -> None:  # noqa: ARG001 - read by the decorator
            act()

        idempotent_function(
            keyed,
            data_keyword_argument="key",
            persistence_store=store,
            config=config,
            key_prefix=what,
        )(key=key)

    return once


def batch_failures(ids: Iterable[str]) -> dict[str, Any]:
    """The answer ``ReportBatchItemFailures``: have these messages delivered again; of a stream, the first of
    them and everything after it."""
    return {"batchItemFailures": [{"itemIdentifier": i} for i in ids]}
