"""Traces, where a deployment asks for them: the one place that knows X-Ray.

On by ``POWERTOOLS_TRACE_DISABLED=false``, which template.yaml sets from its parameter ``Tracing``; off when
the variable is absent. Off, a handler is returned as it is and nothing is imported. The X-Ray SDK is in
maintenance: another tracer would replace the body of `traced`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeAlias

__all__ = ["traced"]

Handler: TypeAlias = Callable[..., dict[str, Any]]


def traced(service: str) -> Callable[[Handler], Handler]:
    """Decorate a handler: each call is a subsegment, with one below it for every call of an AWS service.

    Requests and answers are not part of a trace: they hold features and keys.
    """

    def decorate(handler: Handler) -> Handler:
        if os.environ.get("POWERTOOLS_TRACE_DISABLED", "true").lower() != "false":
            return handler
        from aws_lambda_powertools import Tracer

        tracer = Tracer(service=service, patch_modules=("botocore",))
        return tracer.capture_lambda_handler(handler, capture_response=False)

    return decorate
