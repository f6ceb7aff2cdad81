"""A baseline by reference: the file formats, and what is refused."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable

import pytest

from neuralstream_core.errors import Invalid, TooLarge
from neuralstream_core.monitoring.baseline import MAX_REFERENCE, BaselineProfiler
from neuralstream_core.registry.records import FeatureRef, Signature
from neuralstream_core.registry.registration import Baseline
from tests.support.registry import SIGNATURE, House

FEATURES = (
    FeatureRef(view="users", feature="age"),
    FeatureRef(view="users", feature="vip", dtype="bool"),
    FeatureRef(view="users", feature="town", dtype="string"),
    FeatureRef(view="users", feature="place", dtype="float32", size=2),
)
ROWS = [
    {
        "users:age": None if n == 3 else n / 2,
        "vip": n % 3 == 0,
        "town": f"town {n % 2}",
        "place": [n, -n],
        "prediction": n / 7,
        "label": n,
    }
    for n in range(40)
]
Profile = Callable[[str, bytes], bytes]


@pytest.fixture
def profile(house: House) -> Profile:
    """Store a file and profile it by reference."""
    profiler = BaselineProfiler(house.artifacts)

    def of(name: str, data: bytes) -> bytes:
        house.s3.put_object(Bucket=house.bucket, Key=f"baselines/{name}", Body=data)
        reference = f"s3://{house.bucket}/baselines/{name}"
        return profiler.profile(Baseline(reference=reference), FEATURES, SIGNATURE)

    return of


def csv_text() -> str:
    lines = ["users:age,vip,town,place,prediction,label"]
    for row in ROWS:
        age = "" if row["users:age"] is None else row["users:age"]
        place = json.dumps(row["place"]).replace('"', '""')
        lines.append(
            f'{age},{str(row["vip"]).lower()},{row["town"]},"{place}",{row["prediction"]},{row["label"]}'
        )
    return "\n".join(lines)


def test_the_same_rows_give_the_same_profile_in_every_format(
    house: House, profile: Profile
) -> None:
    columns = {name: [row[name] for row in ROWS] for name in ("users:age", "vip", "town", "place")}
    prediction = [row["prediction"] for row in ROWS]
    inline = BaselineProfiler(house.artifacts).profile(
        Baseline(columns=dict(columns), prediction=prediction), FEATURES, SIGNATURE
    )
    whole = json.dumps({"columns": columns, "prediction": prediction}).encode()
    lines = "\n".join(json.dumps(row) for row in ROWS).encode()
    assert profile("a.json", whole) == inline
    assert profile("a.jsonl", lines) == inline
    assert profile("a.csv", csv_text().encode()) == inline
    assert profile("a.csv.gz", gzip.compress(csv_text().encode())) == inline


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.parquet", b"PAR1", "must end in"),
        ("a.csv", b"\xff\xfe\x00", "not UTF-8"),
        ("a.csv", b"", "no column"),
        ("a.csv", b"weight,height\n1,2\n", "no column"),
        ("a.jsonl", b'{"age": 1}\n[1]\n', "line 2"),
        ("a.json", b'{"columns": 1}', "columns"),
        ("a.json", b'{"reference": "s3://b/c.json"}', "another file"),
        ("a.json.gz", b"no gzip", "not a gzip file"),
        ("a.json.gz", gzip.compress(b"{}" * 1000, mtime=0)[:-9], "not a gzip file"),
    ],
)
def test_a_file_that_is_no_baseline_is_refused(
    profile: Profile, name: str, data: bytes, reason: str
) -> None:
    with pytest.raises(Invalid, match=reason):
        profile(name, data)


def test_a_small_file_that_unpacks_to_too_much_is_refused(profile: Profile) -> None:
    with pytest.raises(TooLarge):
        profile("a.csv.gz", gzip.compress(bytes(MAX_REFERENCE + 1), compresslevel=1))


def test_classes_of_a_classifier_are_read_from_a_file(house: House, profile: Profile) -> None:
    assert profile("a.csv", b"age,prediction\n1,0\n2,1\n")
    classifier = Signature(kind="classifier", inputs=SIGNATURE.inputs, outputs=(), classes=(0, 1))
    profiler = BaselineProfiler(house.artifacts)
    reference = Baseline(reference=f"s3://{house.bucket}/baselines/a.csv")
    columns = Baseline(columns={"age": [1, 2]}, prediction=[0, 1])
    assert profiler.profile(reference, FEATURES, classifier) == profiler.profile(
        columns, FEATURES, classifier
    )
