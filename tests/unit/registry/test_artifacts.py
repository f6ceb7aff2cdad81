"""Presigned uploads, computed offline as on AWS."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.config import Config

from neuralstream_core import uploads
from neuralstream_core.registry.artifacts import MAX_ARTIFACT, ArtifactStore
from neuralstream_core.runtimes import runtime


@pytest.fixture
def store() -> ArtifactStore:
    client = boto3.client(
        "s3",
        region_name="eu-west-1",
        endpoint_url="https://s3.eu-west-1.amazonaws.com",
        aws_access_key_id="id",
        aws_secret_access_key="secret",  # noqa: S106 - signs nothing that leaves this test
        config=Config(signature_version="s3v4", s3={"addressing_style": "virtual"}),
    )
    return ArtifactStore(client, "data-bucket")


def test_size_and_checksum_are_part_of_what_is_signed(store: ArtifactStore) -> None:
    digest = hashlib.sha256(b"model").hexdigest()
    upload = store.presign("uploads/ns/m/1", digest, 5)

    url = urlsplit(upload.url)
    query = parse_qs(url.query)
    assert (url.hostname, url.path) == ("data-bucket.s3.eu-west-1.amazonaws.com", "/uploads/ns/m/1")
    assert query["X-Amz-Expires"] == [str(uploads.UPLOAD_SECONDS)]
    signed = set(query["X-Amz-SignedHeaders"][0].split(";"))
    assert signed == {*upload.headers, "host"}
    assert upload.headers["content-length"] == "5"
    assert base64.b64decode(upload.headers["x-amz-checksum-sha256"]).hex() == digest


def test_other_bytes_get_another_signature(store: ArtifactStore) -> None:
    one, other = (store.presign("uploads/a", digit * 64, 5).url for digit in "01")
    assert (
        parse_qs(urlsplit(one).query)["X-Amz-Signature"]
        != (parse_qs(urlsplit(other).query)["X-Amz-Signature"])
    )


def test_what_may_be_uploaded_may_be_loaded() -> None:
    assert MAX_ARTIFACT == runtime.MAX_ARTIFACT
