"""What goes into the table comes out as it was; what it answers wrongly becomes a designed error."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_core.errors import (
    ConditionFailed,
    Invalid,
    NeuralStreamError,
    TooLarge,
    Unavailable,
)
from neuralstream_core.table import Table, marshal, unmarshal

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False, min_value=-1e100, max_value=1e100).filter(
        lambda x: x == 0 or abs(x) > 1e-100
    )
    | st.text()
    | st.binary()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(min_size=1), inner, max_size=4)
        | st.sets(st.text(), min_size=1)
    ),
    max_leaves=10,
)


@given(VALUES)
def test_a_value_comes_out_equal_to_what_went_in(value: Any) -> None:
    assert unmarshal(marshal(value)) == value


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=1e-100, max_value=1e100))
def test_a_float_keeps_every_bit(value: float) -> None:
    found = unmarshal(marshal(value))
    assert float(found).hex() == value.hex()


class Fails:
    """A client whose every call raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        def call(**_request: Any) -> Any:
            raise self._error

        return call


def client_error(
    code: str, message: str = "", reasons: list[dict[str, str]] | None = None
) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": message}}
    if reasons is not None:
        answer["CancellationReasons"] = reasons
    return ClientError(answer, "any")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (client_error("ConditionalCheckFailedException"), ConditionFailed),
        (
            client_error(
                "TransactionCanceledException",
                reasons=[{"Code": "None"}, {"Code": "ConditionalCheckFailed"}],
            ),
            ConditionFailed,
        ),
        (
            client_error(
                "TransactionCanceledException",
                reasons=[{"Code": "TransactionConflict"}, {"Code": "None"}],
            ),
            Unavailable,
        ),
        (
            client_error(
                "TransactionCanceledException",
                reasons=[
                    {
                        "Code": "ValidationError",
                        "Message": "Item size has exceeded the maximum allowed size",
                    }
                ],
            ),
            TooLarge,
        ),
        (
            client_error("ValidationException", "Item size has exceeded the maximum allowed size"),
            TooLarge,
        ),
        (client_error("ProvisionedThroughputExceededException"), Unavailable),
        (client_error("ThrottlingException"), Unavailable),
        (client_error("RequestLimitExceeded"), Unavailable),
        (client_error("InternalServerError"), Unavailable),
        (client_error("ResourceNotFoundException"), Unavailable),
        (ConnectTimeoutError(endpoint_url="http://nowhere"), Unavailable),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_every_failure_is_a_designed_error(
    error: Exception, expected: type[NeuralStreamError]
) -> None:
    table = Table(Fails(error), "t")
    with pytest.raises(NeuralStreamError) as caught:
        table.transact([])
    assert type(caught.value) is expected


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "ü",
        "%%%",
        "e30",
        encoded([]),
        encoded({}),
        encoded({"PK": "p"}),
        encoded({"PK": "p", "SK": 1}),
        encoded({"PK": "p", "SK": ""}),
        encoded({"PK": "other", "SK": "A#1"}),
        encoded({"PK": "p", "SK": "B#1"}),
        encoded({"PK": "p", "SK": "A#1", "GSI1PK": "p", "GSI1SK": "x"}),
        base64.urlsafe_b64encode(b"[" * 1500).decode(),
    ],
)
def test_a_token_of_another_listing_is_refused(token: str) -> None:
    with pytest.raises(Invalid) as caught:
        Table(Fails(AssertionError("the table was asked")), "t").query(
            "p", prefix="A#", token=token
        )
    assert caught.value.code == "invalid_token"
