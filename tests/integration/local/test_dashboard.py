"""docs/cloudwatch-dashboard.json: filled from a stack's resources and accepted by CloudWatch."""

import json
import re

from neuralstream_local.dashboard import PLACEHOLDER, SOURCE, put
from tests.support.template import template

NAMES = set(PLACEHOLDER.findall(SOURCE.read_text())) - {"AWS::Region"}


def test_every_name_in_the_dashboard_is_a_resource_of_the_template():
    declared = template()["Resources"]
    for name in NAMES:
        logical, _, attribute = name.partition(".")
        assert logical in declared, name
        assert attribute in ("", "QueueName")


def test_the_dashboard_of_a_stack_names_what_the_stack_made(stack):
    """The queues and tables are made by CloudFormation; what the emulation lacks, a topic stands for."""
    logical = {name.partition(".")[0] for name in NAMES}
    queues = {name for name in logical if name.endswith("Queue")}
    kinds = {
        name: {"Type": "AWS::SQS::Queue" if name in queues else "AWS::SNS::Topic"}
        for name in logical
    }
    cloudformation = stack.client("cloudformation")
    cloudformation.create_stack(
        StackName="dashboard-test", TemplateBody=json.dumps({"Resources": kinds})
    )
    cloudwatch = stack.client("cloudwatch")
    assert put(cloudformation, cloudwatch, "dashboard-test") == []
    stored = cloudwatch.get_dashboard(DashboardName="dashboard-test")["DashboardBody"]
    assert "${" not in stored
    made = cloudformation.list_stack_resources(StackName="dashboard-test")["StackResourceSummaries"]
    queue_names = {
        one["PhysicalResourceId"].rpartition("/")[2]
        for one in made
        if one["LogicalResourceId"] in queues
    }
    assert queue_names <= set(re.findall(r'"([^"]+)"', stored))
    widgets = json.loads(stored)["widgets"]
    assert all(widget["properties"]["region"] == "us-east-1" for widget in widgets)
    places = {(widget["x"], widget["y"]) for widget in widgets}
    assert len(places) == len(widgets), "no widget hides another"
