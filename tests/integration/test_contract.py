"""The OpenAPI document tells the truth: requests made from it get the answers it describes.

Schemathesis makes valid and invalid requests for every operation; the stack asks for no key, so the
document's security is left out.
"""

from __future__ import annotations

import json
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi import checks

from neuralstream_local.openapi import TARGET

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(TARGET.read_text())
    for methods in document["paths"].values():
        for operation in methods.values():
            operation.pop("security")
    return document


# Generated requests only: systematic coverage would start a validator process for each bad artifact.
CONFIG = SchemathesisConfig.from_dict({"phases": {"coverage": {"enabled": False}}})

schema = schemathesis.openapi.from_dict(_document(), config=CONFIG)


@schema.parametrize()
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_answers_are_as_described(case, stack):
    case.call_and_validate(base_url=stack.url, checks=CHECKS)
