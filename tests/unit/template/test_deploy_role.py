"""docs/deploy-role.yaml: who may assume the role that deploys, and what it reaches."""

import json
import re

import pytest

from neuralstream_local.template import parse
from tests.support.template import ROOT, as_list, template

DOCUMENT = parse((ROOT / "docs" / "deploy-role.yaml").read_text())
POLICIES = {
    name: resource["Properties"]["PolicyDocument"]["Statement"]
    for name, resource in DOCUMENT["Resources"].items()
    if resource["Type"] == "AWS::IAM::ManagedPolicy"
}
STATEMENTS = [(f"{name}-{one['Sid']}", one) for name, own in POLICIES.items() for one in own]

NO_ARN_POSSIBLE = {
    "ComputePolicy-EventSources": "the condition names the function",
    "StatePolicy-NewKey": "the condition names the tags",
    "StatePolicy-LogDelivery": "log delivery actions know no resource",
    "NetworkPolicy-Look": "describing knows no resource",
}

SERVICES = {
    "ApiGatewayV2": "apigateway",
    "Athena": "athena",
    "Budgets": "budgets",
    "CloudWatch": "cloudwatch",
    "DynamoDB": "dynamodb",
    "EC2": "ec2",
    "ElastiCache": "elasticache",
    "Glue": "glue",
    "IAM": "iam",
    "KMS": "kms",
    "Logs": "logs",
    "S3": "s3",
    "SNS": "sns",
    "SQS": "sqs",
    "Scheduler": "scheduler",
}
"""What CloudFormation calls a service, and what IAM calls it."""


def test_only_this_repositorys_environment_of_this_stage_may_assume_the_role():
    (trust,) = DOCUMENT["Resources"]["Role"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
    issuer = "token.actions.githubusercontent.com"
    assert trust["Condition"] == {
        "StringEquals": {
            f"{issuer}:aud": "sts.amazonaws.com",
            f"{issuer}:sub": {"Fn::Sub": "repo:${Repository}:environment:${Stage}"},
        }
    }
    repository = DOCUMENT["Parameters"]["Repository"]["AllowedPattern"]
    assert re.fullmatch(repository, "owner/repo")
    for wide in ("owner/*", "*/repo", "owner", "owner/repo/more"):
        assert not re.fullmatch(repository, wide), wide


@pytest.mark.parametrize(("name", "statement"), STATEMENTS, ids=[name for name, _ in STATEMENTS])
def test_a_statement_names_its_actions_and_the_stages_own_resources(name, statement):
    assert statement["Effect"] == "Allow"
    assert not any("*" in action for action in as_list(statement["Action"]))
    for resource in as_list(statement["Resource"]):
        if resource == "*":
            assert name in NO_ARN_POSSIBLE
            continue
        arn = resource["Fn::Sub"]
        shared = (
            "aws-sam-cli-managed-default",
            ":apigateway:",
            ":aws:transform/",
            "CodeDeployDefault",
            ":role/aws-service-role/",
            ":catalog",  # Glue's, one for an account
        )
        tagged = "aws:ResourceTag/stage" in json.dumps(statement.get("Condition", {}))
        created = statement["Sid"] in ("Create", "TagWhatIsCreated", "EventSourcesRead")
        assert (
            "neuralstream-${Stage}" in arn.replace("neuralstream_", "neuralstream-")
            or tagged
            or created
            or any(s in arn for s in shared)
        ), arn


def test_every_service_of_the_template_is_reached():
    allowed = {
        action.partition(":")[0]
        for _, statement in STATEMENTS
        for action in as_list(statement["Action"])
    }
    kinds = {resource["Type"].split("::")[1] for resource in template()["Resources"].values()}
    needed = {SERVICES[kind] for kind in kinds - {"Serverless"}}
    needed |= {"lambda", "states", "events", "scheduler", "codedeploy", "cloudformation"}
    assert needed - allowed == set()


def test_every_policy_is_within_iams_6144_characters():
    for name, statements in POLICIES.items():
        text = re.sub(r"\s", "", json.dumps({"Version": "2012-10-17", "Statement": statements}))
        longest = text.replace('{"Fn::Sub":', "").replace("${AWS::AccountId}", "1" * 12)
        longest = longest.replace("${AWS::Region}", "ap-southeast-4").replace("${Stage}", "staging")
        longest = longest.replace("${AWS::Partition}", "aws-us-gov")
        assert len(longest) <= 6144, (name, len(longest))
