"""One structured logger a service. A success is not logged: Lambda's platform log and the access log
already report every request, and a line per prediction would cost more than the prediction."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

__all__ = ["logger"]


@cache
def logger(service: str) -> Logger:
    """The logger of ``service``, built on first use so that a cold start does not pay for it."""
    from aws_lambda_powertools import Logger

    return Logger(service=service, utc=True)
