"""template.yaml as the laptop reads it."""

from __future__ import annotations

import pytest

from neuralstream_local.laptop import BUCKET, HISTORY_TABLE, KEYS_TABLE, TABLE, laptop_template
from neuralstream_local.template import Template

VALUES = {"AWS::StackName": "s", "AWS::Region": "r", "AWS::AccountId": "1", "AWS::Partition": "aws"}


def _template(tmp_path, text):
    path = tmp_path / "template.yaml"
    path.write_text(text)
    return Template(path, VALUES)


def test_every_function_gets_plain_values_and_the_embedded_redis():
    for function in laptop_template(redis_port=7001).functions().values():
        assert all(isinstance(v, str) and "Fn::" not in v for v in function.environ.values())
        if "NEURALSTREAM_REDIS_HOST" in function.environ:
            assert function.environ["NEURALSTREAM_REDIS_PORT"] == "7001"
            assert function.environ["NEURALSTREAM_REDIS_TLS"] == "false"
        assert function.environ.get("NEURALSTREAM_TABLE", TABLE) == TABLE
        assert function.environ.get("NEURALSTREAM_DATA_BUCKET", BUCKET) == BUCKET
        assert function.environ.get("NEURALSTREAM_KEYS_TABLE", KEYS_TABLE) == KEYS_TABLE
        history = function.environ.get("NEURALSTREAM_HISTORY_TABLE", HISTORY_TABLE)
        assert history == HISTORY_TABLE


def test_only_health_and_documentation_are_public():
    public = {route.key for route in laptop_template(redis_port=1).routes() if route.public}

    assert public == {
        "GET /health",
        "GET /docs",
        "GET /openapi.json",
        "GET /console",
        "GET /console/{file+}",
    }


def test_intrinsic_functions_are_resolved(tmp_path):
    template = _template(
        tmp_path,
        """
Parameters: {Stage: {Type: String, Default: dev}}
Conditions:
  IsProduction: !Equals [!Ref Stage, prod]
  IsOther: !Not [!Condition IsProduction]
Resources:
  Queue:
    Type: AWS::SQS::Queue
    Properties:
      A: !Sub "${AWS::StackName}-${Stage}-${Own}"
      B: !Sub ["${x}!", {x: !Ref Stage}]
      C: !If [IsProduction, 1, !Ref AWS::NoValue]
      D: !If [IsOther, [!GetAtt Queue.Arn], []]
      E: !Join ["-", [a, !Ref Stage]]
      F: !Sub "${!Literal}"
  Own: {Type: "AWS::SNS::Topic", Properties: {}}
  Gone: {Type: "AWS::SQS::Queue", Condition: IsProduction, Properties: {}}
""",
    )

    assert template.of_type("AWS::SQS::Queue") == {
        "Queue": {
            "A": "s-dev-arn:aws:sns:r:1:s-Own",
            "B": "dev!",
            "D": ["arn:aws:sqs:r:1:s-Queue"],
            "E": "a-dev",
            "F": "${Literal}",
        }
    }


def test_a_name_that_is_nowhere_is_said_so(tmp_path):
    template = _template(
        tmp_path,
        "Resources: {Q: {Type: 'AWS::SQS::Queue', Properties: {A: !Ref Missing}}}",
    )

    with pytest.raises(ValueError, match="Missing"):
        template.of_type("AWS::SQS::Queue")
