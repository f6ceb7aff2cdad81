"""Where a job may read and write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_core.errors import Invalid
from neuralstream_core.objects import Location
from neuralstream_core.serving.batch.locations import Buckets, input_format


@pytest.mark.parametrize(
    "uri",
    [
        "s3://own/jobs/in/a.csv",
        "s3://own/jobs/a b+c=é.csv",
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
        ("s3://own/history/x", "prefix_reserved"),
        ("s3://own/in/a.csv", "prefix_reserved"),
        ("s3://own/jobs", "prefix_reserved"),
        ("s3://own/jobs/_work/job-1/plan.json", "prefix_reserved"),
        ("s3://own/jobs/../artifacts/x", "invalid"),
        ("s3://own/jobs//a", "invalid"),
        ("s3://own/jobs/a\nb", "invalid"),
        ("s3://own/jobs/" + "x" * 901, "invalid"),
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


@given(st.text(alphabet="abjobsrtfcw_/.", max_size=24))
def test_no_output_reaches_beyond_the_prefix_of_jobs(key: str) -> None:
    """What a job appends to an output that passes stays below ``jobs/`` and out of ``jobs/_work/``."""
    try:
        folder = Buckets.of("own", "").check(f"s3://own/{key}", "output", folder=True)
    except Invalid:
        return
    written = (folder / "job-1/part-00000.jsonl").key
    assert written.startswith("jobs/")
    assert not written.startswith("jobs/_work/")


def test_reserved_prefixes_are_those_of_the_own_bucket() -> None:
    assert Buckets.of("own", "other").check("s3://other/artifacts/a.csv", "input")


def test_formats_by_extension() -> None:
    assert input_format(Location("b", "a.CSV"), None) == "csv"
    assert input_format(Location("b", "x/a.ndjson"), None) == "jsonl"
    assert input_format(Location("b", "a"), "parquet") == "parquet"
    with pytest.raises(Invalid):
        input_format(Location("b", "a.csv/data"), None)
