"""A model and a feature view of the caller's own on a stack, made of the quickstart's registration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from tests.support.template import ROOT

if TYPE_CHECKING:
    from tests.support.stack import RunningStack

__all__ = ["FEATURES", "make_model", "make_view"]

FEATURES: Final = ("tenure_months", "monthly_charges", "support_tickets")


def make_view(
    stack: RunningStack, name: str, *, entity: str | list[str] = "user_id", **fields: object
) -> None:
    """A view with the quickstart's three features."""
    features = [{"name": each, "dtype": "float64"} for each in FEATURES]
    body = {"entity": entity, "features": features} | fields
    assert stack.request("PUT", f"/features/views/{name}", body).status in {200, 201}


def make_model(stack: RunningStack, name: str, *, versions: int = 1, **fields: object) -> None:
    """A model whose first version is in production, and whose features come with the request."""
    body = json.loads((ROOT / "examples/quickstart/register.json").read_text())
    body |= {"features": [f"request:{each}" for each in FEATURES]} | fields
    for number in range(1, versions + 1):
        metrics = {"auc": 0.7 + number / 100}
        reply = stack.request("POST", f"/models/{name}/versions", body | {"metrics": metrics})
        assert reply.status in {200, 201}, reply.data
    assert stack.request("POST", f"/models/{name}/promote/v1").status == 200
