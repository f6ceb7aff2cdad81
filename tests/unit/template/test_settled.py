"""docs/decisions/0003: what the template does about each settled fact of AWS, so that it stays so."""

import json
import re

import pytest

from tests.support.template import resources, template

API = template()["Resources"]["Api"]["Properties"]


def test_route_settings_hold_numbers_and_no_parameter():
    """In free-form JSON a `Ref` of a number would arrive as text."""
    for route, settings in API["RouteSettings"].items():
        assert all(type(value) in (int, float, bool) for value in settings.values()), route


def test_a_warning_about_the_generated_document_does_not_stop_a_deployment():
    assert "FailOnWarnings" not in API


def test_the_caches_user_and_group_are_of_the_engine_that_needs_no_default_user():
    (user,) = resources("AWS::ElastiCache::User").values()
    (group,) = resources("AWS::ElastiCache::UserGroup").values()
    assert user["Properties"]["Engine"] == group["Properties"]["Engine"] == "valkey"
    assert user["Properties"]["AuthenticationMode"] == {"Type": "iam"}
    assert user["Properties"]["UserId"] == user["Properties"]["UserName"]
    assert group["Properties"]["UserIds"] == [{"Ref": "CacheUser"}]


@pytest.mark.parametrize("command", ["+cluster|slots", "+cluster|shards", "+cluster|nodes"])
def test_the_caches_user_may_ask_for_the_topology(command):
    (user,) = resources("AWS::ElastiCache::User").values()
    assert command in user["Properties"]["AccessString"].split()


def test_zones_can_be_chosen_for_every_subnet():
    for name, subnet in resources("AWS::EC2::Subnet").items():
        assert subnet["Properties"]["AvailabilityZone"]["Fn::If"][0] == "HasZones", name


def test_the_state_machine_may_start_describe_and_stop_the_children_of_its_map():
    role = template()["Resources"]["BatchStateMachineRole"]["Properties"]
    text = json.dumps(role["Policies"])
    for action in ("StartExecution", "DescribeExecution", "StopExecution"):
        assert f"states:{action}" in text


@pytest.mark.parametrize("action", ["kms:DisableKeyRotation", "kms:UpdateAlias"])
def test_the_account_may_do_with_its_key_what_an_update_of_the_stack_needs(action):
    account = template()["Resources"]["DataKey"]["Properties"]["KeyPolicy"]["Statement"][0]
    assert action in account["Action"]


def test_every_table_has_an_alarm_over_refused_reads_and_writes():
    alarms = resources("AWS::CloudWatch::Alarm")
    for table in resources("AWS::DynamoDB::Table"):
        watched = json.dumps(alarms[f"{table}ThrottlesAlarm"]["Properties"])
        for metric in ("ReadThrottleEvents", "WriteThrottleEvents"):
            assert metric in watched
        assert f'{{"Name": "TableName", "Value": {{"Ref": "{table}"}}}}' in watched


def test_a_line_of_the_access_log_is_json_whatever_is_absent():
    """API Gateway writes `-` for what is absent, and escapes nothing."""
    format_ = API["AccessLogSettings"]["Format"]
    filled = re.sub(r"\$context\.[\w.]+", "-", format_)
    assert all(value == "-" for value in json.loads(filled).values())
    assert "messageString" not in format_
