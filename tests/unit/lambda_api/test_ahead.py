"""Loading ahead: clients find what was read, credentials are not, and restored processes differ."""

import os
import subprocess
import sys

import pytest

from tests.support.template import ROOT

RUNTIME = """
restored = []

def register_after_restore(function):
    restored.append(function)
"""
"""What the managed runtime's package of this name does, for one process."""


@pytest.fixture
def run(tmp_path):
    """Run code in a fresh interpreter that Lambda initialised in some way."""
    (tmp_path / "snapshot_restore_py.py").write_text(RUNTIME)

    def call(code, initialization="snap-start"):
        path = os.pathsep.join(map(str, (tmp_path, ROOT, ROOT / "layers" / "core")))
        environ = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        environ |= {"PYTHONPATH": path, "AWS_LAMBDA_INITIALIZATION_TYPE": initialization}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=environ,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def test_environments_restored_from_one_snapshot_draw_different_numbers(run):
    code = """
import random
from neuralstream_lambda.ahead import load_ahead
load_ahead(["numpy.random"])
import numpy, snapshot_restore_py
random.seed(7)
numpy.random.seed(7)
for function in snapshot_restore_py.restored:
    function()
print(random.random(), numpy.random.random_sample())
"""
    first, second = run(code).split(), run(code).split()
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_credentials_are_those_at_the_first_client_and_not_those_of_the_snapshot(run):
    code = """
import os
os.environ.update(AWS_ACCESS_KEY_ID="snapshot", AWS_SECRET_ACCESS_KEY="x", AWS_REGION="us-east-1")
os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
from neuralstream_lambda.ahead import load_ahead
load_ahead([], services=["dynamodb", "s3"])
os.environ.update(AWS_ACCESS_KEY_ID="restored")
import boto3
url = boto3.client("s3").generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
assert "restored" in url and "snapshot" not in url, url
"""
    run(code)


def test_building_a_client_later_reads_no_description_again(run):
    code = """
import os, sys
os.environ.update(AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="x", AWS_DEFAULT_REGION="us-east-1")
from neuralstream_lambda.ahead import load_ahead
load_ahead([], services=["dynamodb", "s3"])
read = []
sys.addaudithook(lambda name, args: read.append(str(args[0])) if name == "open" else None)
import boto3
for service in ("dynamodb", "s3"):
    boto3.client(service)
described = [path for path in read if "botocore/data" in path and "endpoint" not in path]
print(*described)
"""
    assert run(code).split() == []


def test_on_demand_nothing_is_loaded(run):
    code = """
import sys
from neuralstream_lambda.ahead import load_ahead
load_ahead(["onnxruntime"], services=["s3"])
print({"onnxruntime", "boto3", "snapshot_restore_py"} & set(sys.modules))
"""
    assert run(code, "on-demand").strip() == "set()"
