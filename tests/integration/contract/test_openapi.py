"""Generated requests for every operation of the committed OpenAPI document, against the laptop stack.

Schemathesis makes valid and invalid ones and checks each answer: no 5xx, a documented status, media
type, headers and body, and that what breaks the schema or has no key is refused. That what fits the
schema is accepted is not asked: a page token is one only if a listing gave it. A state that the
generator cannot reach (a model that serves) is in other suites.
"""

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings

from neuralstream_core.keys import KeyStore, Scope
from neuralstream_core.table import Table
from neuralstream_local.laptop import KEYS_TABLE
from tests.support.template import ROOT

DOCUMENT = ROOT / "functions" / "console" / "openapi.json"


CONFIG = schemathesis.Config.from_dict(
    {
        "checks": {
            # Too long a list is 413 and too long a query 431, the rest 4xx as Schemathesis expects.
            "negative_data_rejection": {
                "expected-statuses": [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 431]
            },
            # API Gateway answers 404, not 405, for a method no route has.
            "unsupported_method": {"enabled": False},
            # A page token fits the schema but is one only if a listing gave it.
            "positive_data_acceptance": {"enabled": False},
        },
        "phases": {"coverage": {"unexpected-methods": []}},
    }
)
schema = schemathesis.openapi.from_dict(json.loads(DOCUMENT.read_text()), config=CONFIG)


@pytest.fixture(scope="module")
def key(stack_with_keys):
    """A key with every scope, so that only what is wrong with a request can stop it."""
    store = KeyStore(Table(stack_with_keys.client("dynamodb"), KEYS_TABLE))
    return store.mint("schemathesis", list(Scope)).key


@schema.parametrize()
@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_as_documented(case, stack_with_keys, key):
    case.call_and_validate(
        base_url=stack_with_keys.url,
        headers={"x-api-key": key},
        timeout=20,
    )
