"""Where a job may read and write."""

from __future__ import annotations

import pytest

from neuralstream_core.errors import Invalid
from neuralstream_core.serving.batch import Buckets, Location, input_format


@pytest.mark.parametrize(
    "uri",
    [
        "s3://own/in/a.csv",
        "s3://own/a b+c=é.csv",
        "s3://other-bucket/x/",
    ],
)
def test_allowed(uri: str) -> None:
    assert str(Buckets.of("own", "other-bucket, third").check(uri, "input")) == uri


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("s3://else/a.csv", "bucket_not_allowed"),
        ("s3://own/artifacts/sha256/x", "prefix_reserved"),
        ("s3://own/uploads/x", "prefix_reserved"),
        ("s3://own/in/../artifacts/x", "invalid"),
        ("s3://own/in//a", "invalid"),
        ("s3://own/a\nb", "invalid"),
        ("s3://own/" + "x" * 901, "invalid"),
        ("https://own/a.csv", "invalid_location"),
        ("s3://own", "invalid_location"),
        ("/etc/passwd", "invalid_location"),
        ("s3://OWN/a.csv", "invalid_location"),
    ],
)
def test_refused(uri: str, code: str) -> None:
    with pytest.raises(Invalid) as raised:
        Buckets.of("own", "").check(uri, "input")
    assert raised.value.code == code
    assert [error.loc for error in raised.value.errors] == ["input"]


def test_reserved_prefixes_are_those_of_the_own_bucket() -> None:
    assert Buckets.of("own", "other").check("s3://other/artifacts/a.csv", "input")


def test_formats_by_extension() -> None:
    assert input_format(Location("b", "a.CSV"), None) == "csv"
    assert input_format(Location("b", "x/a.ndjson"), None) == "jsonl"
    assert input_format(Location("b", "a"), "parquet") == "parquet"
    with pytest.raises(Invalid):
        input_format(Location("b", "a.csv/data"), None)
