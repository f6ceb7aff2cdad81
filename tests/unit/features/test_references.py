"""References to features and feature services."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_core.features.references import (
    MAX_REFERENCE,
    REFERENCE_PATTERN,
    FeatureReference,
    ServiceReference,
    parse_reference,
)

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", fullmatch=True)
VIEWS = NAMES.filter(lambda name: name not in ("request", "service"))
FEATURES = st.builds(FeatureReference, VIEWS, NAMES, st.none() | NAMES) | st.builds(
    FeatureReference, st.none(), NAMES, st.none()
)
SERVICES = st.builds(ServiceReference, NAMES, st.none() | st.integers(1, 999_999_999))


@given(FEATURES | SERVICES)
def test_a_reference_reads_as_what_it_was_written_from(
    reference: FeatureReference | ServiceReference,
) -> None:
    assert parse_reference(reference.text) == reference
    assert len(reference.text) <= MAX_REFERENCE


@given(st.text(alphabet="aB1._-:@é \n", max_size=12))
def test_any_text_has_one_meaning_or_none(text: str) -> None:
    try:
        found = parse_reference(text)
    except ValueError:
        return
    assert found.text == text


@given(FEATURES | SERVICES)
def test_references_fit_the_documented_pattern(
    reference: FeatureReference | ServiceReference,
) -> None:
    assert re.search(REFERENCE_PATTERN, reference.text)


def test_the_forms() -> None:
    assert parse_reference("weather:temp") == FeatureReference("weather", "temp")
    assert parse_reference("weather@origin:temp") == FeatureReference("weather", "temp", "origin")
    assert parse_reference("request:amount") == FeatureReference(None, "amount")
    assert parse_reference("service:churn@2") == ServiceReference("churn", 2)
    assert parse_reference("service:churn") == ServiceReference("churn")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "temp",
        "weather:",
        ":temp",
        "weather:temp:max",
        "weather@:temp",
        "@origin:temp",
        "weather@origin@destination:temp",
        "weather@origin:temp\n",
        " weather:temp",
        "request@origin:amount",
        "service:churn@0",
        "service:churn@02",
        "service:churn@v2",
        "service:churn@",
        "service:churn@1000000000",
        "service@origin:churn",
        "service:churn:temp",
        "w" * 129 + ":temp",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be view:feature|feature service|no role"):
        parse_reference(text)
