"""The smoke test of a stack by its name: with a key and a batch job of its own, twice.

What it finds on stacks that are not well: tests/integration/client/test_command.py.
"""

import json

import pytest

from neuralstream_local.keys import key_store
from neuralstream_local.laptop import BUCKET, KEYS_TABLE
from neuralstream_local.smoke import NAME, smoke_stack


@pytest.fixture
def deployed(stack_with_keys):
    """Clients of an account in which CloudFormation knows the laptop stack by its outputs."""
    body = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {
            "ApiUrl": {"Value": stack_with_keys.url},
            "KeysTableName": {"Value": KEYS_TABLE},
            "DataBucketName": {"Value": BUCKET},
        },
    }
    stack_with_keys.client("cloudformation").create_stack(
        StackName="neuralstream-test", TemplateBody=json.dumps(body)
    )
    yield stack_with_keys.client
    stack_with_keys.client("cloudformation").delete_stack(StackName="neuralstream-test")


def test_a_stack_is_asked_by_its_name_with_a_key_that_is_revoked_and_files_that_are_deleted(
    deployed, stack_with_keys
):
    for _ in range(2):
        steps = []
        passed = smoke_stack(deployed, "neuralstream-test", "smoke-42", steps.append)
        assert passed, [one for one in steps if one.status == "failed"]
        assert {"refuse without key", "job", "archive", "delete view"} < {one.name for one in steps}
        assert {one.status for one in steps} == {"ok", "left"}
    records = key_store(KEYS_TABLE, stack_with_keys.aws_endpoint).list_keys()
    own = [record for record in records if record.principal == "smoke-42"]
    assert len(own) == 2
    assert all(record.revoked_at is not None for record in own)
    assert all(record.expires_at is not None for record in own)
    left = stack_with_keys.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="jobs/smoke/")
    assert left["KeyCount"] == 0
    assert f"model {NAME}: a model has no deletion" in {one.found for one in steps}
