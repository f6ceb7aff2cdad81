"""Least privilege and durability, as template.yaml states them."""

import json

import pytest

from neuralstream_core.history.log import LOG_PREFIX
from neuralstream_local.event_sources import matches
from tests.support.access import Access
from tests.support.template import as_list, functions, resources, statements, template

IAM_KINDS = ("AWS::IAM::Role", "AWS::IAM::RolePolicy", "AWS::IAM::ManagedPolicy")

NO_ARN_POSSIBLE = {
    ("NetworkInterfacePolicy", "PlatformNetwork"): "Lambda checks for these on every resource",
    ("NetworkInterfacePolicy", "NotFromCode"): "a Deny",
    ("BatchStateMachineRole", "PlatformLogs"): "log delivery actions know no resource",
    ("BatchStateMachineRole", "PlatformTraces"): "X-Ray's actions know no resource",
    ("TrainingStateMachineRole", "PlatformLogs"): "log delivery actions know no resource",
    ("TrainingStateMachineRole", "PlatformTraces"): "X-Ray's actions know no resource",
    ("LogsPolicy", "PlatformTraces"): "X-Ray's actions know no resource",
}


def identity_statements():
    for kind in IAM_KINDS:
        for name, resource in resources(kind).items():
            properties = resource["Properties"]
            documents = [p["PolicyDocument"] for p in properties.get("Policies", [])]
            if "PolicyDocument" in properties:
                documents.append(properties["PolicyDocument"])
            for document in documents:
                for statement in document["Statement"]:
                    yield name, statement.get("Fn::If", [None, statement])[1]


IDENTITY_STATEMENTS = list(identity_statements())
IDS = [f"{name}-{statement['Sid']}" for name, statement in IDENTITY_STATEMENTS]


@pytest.mark.parametrize("statement", [given[1] for given in IDENTITY_STATEMENTS], ids=IDS)
def test_a_policy_names_its_actions(statement):
    for action in as_list(statement["Action"]):
        assert "*" not in action
    assert "NotAction" not in statement


@pytest.mark.parametrize(("name", "statement"), IDENTITY_STATEMENTS, ids=IDS)
def test_a_policy_names_its_resources(name, statement):
    if (name, statement["Sid"]) in NO_ARN_POSSIBLE:
        return
    for resource in as_list(statement["Resource"]):
        assert resource != "*"
        assert not isinstance(resource, str) or resource.startswith("arn:")


def test_no_role_but_the_services_own_comes_from_elsewhere():
    """No AWS-managed policy and no SAM policy template: both are broad."""
    for name, role in resources("AWS::IAM::Role").items():
        for arn in role["Properties"].get("ManagedPolicyArns", []):
            assert set(arn) == {"Ref"}, f"{name} uses a policy that is not in this template"
    for name, properties in functions().items():
        assert "Policies" not in properties, name
        assert properties["Role"] == {"Fn::GetAtt": [f"{name}Role", "Arn"]}


def test_a_functions_own_policy_is_attached_before_the_function_is_made():
    """Lambda checks what a function's role may do when it maps a queue or a stream to it."""
    declared = template()["Resources"]
    for name in functions():
        policy = declared.get(f"{name}Policy")
        if policy is None:
            assert name == "Console"
            continue
        assert policy["Properties"]["RoleName"] == {"Ref": f"{name}Role"}
        assert declared[f"{name}Function"]["DependsOn"] == f"{name}Policy"


def test_every_function_has_its_own_role_log_group_and_alarm():
    declared = template()["Resources"]
    for name, properties in functions().items():
        assert properties["LoggingConfig"]["LogGroup"] == {"Ref": f"{name}LogGroup"}
        assert declared[f"{name}LogGroup"]["Properties"]["RetentionInDays"]
        assert declared[f"{name}ErrorsAlarm"]["Properties"]["AlarmActions"]


def test_keys_are_looked_up_by_the_authorizer_and_written_by_their_own_function_alone():
    verbs = ("GetItem", "PutItem", "Query", "UpdateItem")
    allowed = {"Authorizer": {"dynamodb:GetItem"}, "Keys": {f"dynamodb:{verb}" for verb in verbs}}
    for name in functions():
        actions = {
            action
            for statement in statements(name)
            for resource in as_list(statement["Resource"])
            if "KeysTable" in str(resource)
            for action in as_list(statement["Action"])
        }
        assert actions == allowed.get(name, set())


def test_who_writes_features_adds_to_the_log_and_cannot_read_or_change_it():
    table, bucket = "arn:aws:dynamodb:::history", "arn:aws:s3:::data"
    references = {"HistoryLogTable.Arn": table, "DataBucket.Arn": bucket}
    for name in ("FeatureWrite", "FeatureIngest"):
        access = Access(name, references)
        assert access.allows("dynamodb:PutItem", table)
        assert access.allows("s3:PutObject", f"{bucket}/history-log/default/1/x")
        for action in ("dynamodb:DeleteItem", "dynamodb:UpdateItem", "dynamodb:Query"):
            assert not access.allows(action, table)
        for key in ("history/x", "history-logs/x", "artifacts/x", "jobs/x"):
            assert not access.allows("s3:PutObject", f"{bucket}/{key}")


def test_objects_of_the_log_outlive_the_items_that_refer_to_them():
    """An item stays up to days longer than its seven days, and an object that is gone is an error."""
    (bucket,) = resources("AWS::S3::Bucket").values()
    rules = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
    (rule,) = [rule for rule in rules if rule.get("Prefix") == LOG_PREFIX]
    assert rule["ExpirationInDays"] >= 7 + 7
    log = resources("AWS::DynamoDB::Table")["HistoryLogTable"]["Properties"]
    assert log["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}


def test_what_is_stored_survives_its_stack():
    stored = ("AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::KMS::Key")
    for kind in stored:
        for resource in resources(kind).values():
            assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
            assert resource["UpdateReplacePolicy"] == "Retain"
    for table in resources("AWS::DynamoDB::Table").values():
        properties = table["Properties"]
        assert properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
        assert properties["SSESpecification"]["SSEEnabled"]
        assert properties["DeletionProtectionEnabled"] == {"Fn::If": ["IsProduction", True, False]}


def test_functions_in_the_vpc_are_those_that_use_the_cache():
    for name, properties in functions().items():
        role = template()["Resources"][f"{name}Role"]["Properties"]
        uses_cache = {"Ref": "CachePolicy"} in role["ManagedPolicyArns"]
        assert ("VpcConfig" in properties) == uses_cache, name
        assert ({"Ref": "NetworkInterfacePolicy"} in role["ManagedPolicyArns"]) == uses_cache, name


def test_there_is_no_way_out_of_the_network():
    kinds = {resource["Type"] for resource in template()["Resources"].values()}
    assert kinds.isdisjoint({"AWS::EC2::NatGateway", "AWS::EC2::InternetGateway", "AWS::EC2::EIP"})
    for endpoint in resources("AWS::EC2::VPCEndpoint").values():
        assert endpoint["Properties"]["VpcEndpointType"] == "Gateway"


def test_functions_inside_call_only_what_the_endpoints_reach():
    for name, properties in functions().items():
        if "VpcConfig" not in properties:
            continue
        for statement in statements(name):
            if not statement["Sid"].startswith("Platform"):
                services = {action.partition(":")[0] for action in as_list(statement["Action"])}
                assert services <= {"dynamodb", "s3"}, f"{name} could not reach {services}"


def test_asynchronous_events_that_fail_are_kept():
    for name, properties in functions().items():
        kinds = {event["Type"] for event in properties.get("Events", {}).values()}
        if "ScheduleV2" in kinds:
            assert properties["EventInvokeConfig"]["DestinationConfig"]["OnFailure"], name
        for event in properties.get("Events", {}).values():
            if event["Type"] == "ScheduleV2":
                assert event["Properties"]["DeadLetterConfig"]
            if event["Type"] == "DynamoDB":
                assert event["Properties"]["DestinationConfig"]["OnFailure"]
                assert event["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
            if event["Type"] == "SQS":
                assert event["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    queue = template()["Resources"]["IngestQueue"]["Properties"]
    assert queue["RedrivePolicy"]["deadLetterTargetArn"]
    assert queue["VisibilityTimeout"] >= 6 * functions()["FeatureIngest"]["Timeout"]


def test_a_call_ends_before_api_gateway_gives_up():
    for name, properties in functions().items():
        if any(event["Type"] == "HttpApi" for event in properties.get("Events", {}).values()):
            assert properties["Timeout"] <= 29, name


def statement_of(function, sid):
    (found,) = [s for s in statements(function) if s["Sid"] == sid]
    return found


def test_dispatch_keeps_only_the_schedules_of_its_own_group():
    schedule = statement_of("Dispatch", "Schedule")
    verbs = ("Create", "Delete", "Get", "Update")
    assert schedule["Action"] == [f"scheduler:{verb}Schedule" for verb in verbs]
    (resource,) = as_list(schedule["Resource"])
    assert resource["Fn::Sub"].endswith(":schedule/${ScheduleGroup}/*")
    for name in functions():
        actions = {a for s in statements(name) for a in as_list(s["Action"])}
        assert name == "Dispatch" or not any(a.startswith("scheduler:") for a in actions)


def test_dispatch_reads_and_marks_schedules_and_no_other_item_of_the_table():
    of_tables = [s for s in statements("Dispatch") if "dynamodb:GetItem" in as_list(s["Action"])]
    assert of_tables == [statement_of("Dispatch", "SchedulesAsTheyAre")]
    only = {"Fn::Sub": "SCHEDULE#${Namespace}#*"}
    assert of_tables[0]["Condition"] == {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": [only]}
    }


def test_the_compaction_reads_the_log_and_changes_none_of_its_entries():
    writes = [s for s in statements("History") if "dynamodb:PutItem" in as_list(s["Action"])]
    assert writes == [statement_of("History", "HeadsAndCursor")]
    only = [{"Fn::Sub": "HEAD#${Namespace}"}, {"Fn::Sub": "CURSOR#${Namespace}"}]
    assert writes[0]["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": only}}


def test_the_role_of_a_schedule_can_only_start_batch_predictions_and_is_passed_to_nobody_else():
    passed = statement_of("Dispatch", "PlatformScheduleRole")
    role_arn = {"Fn::GetAtt": ["JobScheduleRole", "Arn"]}
    assert (as_list(passed["Action"]), as_list(passed["Resource"])) == (
        ["iam:PassRole"],
        [role_arn],
    )
    only = {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}
    assert passed["Condition"] == only
    variables = functions()["Dispatch"]["Environment"]["Variables"]
    assert variables["NEURALSTREAM_SCHEDULE_ROLE_ARN"] == role_arn
    role = template()["Resources"]["JobScheduleRole"]["Properties"]
    allowed = {
        (s["Sid"], action, str(resource))
        for policy in role["Policies"]
        for s in policy["PolicyDocument"]["Statement"]
        for action in as_list(s["Action"])
        for resource in as_list(s["Resource"])
    }
    assert variables["NEURALSTREAM_SCHEDULE_TARGET_ARN"] == {"Ref": "BatchPredictFunction.Alias"}
    assert allowed == {
        ("Invoke", "lambda:InvokeFunction", str({"Ref": "BatchPredictFunction.Alias"})),
        ("Failures", "sqs:SendMessage", str({"Fn::GetAtt": ["FailureQueue", "Arn"]})),
    }
    assert "ManagedPolicyArns" not in role
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}


def test_two_stacks_of_one_account_share_no_schedule():
    """The group has no name of its own: CloudFormation makes one up, and the schedules go with it."""
    (group,) = resources("AWS::Scheduler::ScheduleGroup").values()
    assert "Name" not in group["Properties"]


@pytest.mark.parametrize("function", ["BatchPredict", "BatchTask"])
def test_jobs_reach_their_own_prefix_and_the_configured_bucket_only(function):
    references = {"DataBucket.Arn": "arn:aws:s3:::data", "JobBucket": "lake"}
    access = Access(function, references)

    def writes(arn):
        return access.allows("s3:PutObject", arn)

    def reads(arn):
        return access.allows("s3:GetObject", arn)

    writer = function == "BatchTask"
    for key in ("jobs/in/a.csv", "jobs/_work/job-1/plan.json", "jobs/out/job-1/part-00000.jsonl"):
        assert reads(f"arn:aws:s3:::data/{key}")
        assert writes(f"arn:aws:s3:::data/{key}") == writer
    assert reads("arn:aws:s3:::lake/any/a.csv")
    assert writes("arn:aws:s3:::lake/any/a.csv") == writer
    for prefix in ("artifacts", "baselines", "profiles", "uploads", "monitoring", "history", "job"):
        for key in (f"{prefix}/x", prefix, f"{prefix}x"):
            assert not writes(f"arn:aws:s3:::data/{key}")
            # models and their profiles are read to predict with, the history to rebuild from, nothing else
            known = ("artifacts/x", "profiles/x", *(["history/x"] if writer else []))
            assert reads(f"arn:aws:s3:::data/{key}") == (key in known)
    assert not reads("arn:aws:s3:::other/jobs/a.csv")


def test_the_topic_takes_alerts_only_through_its_key():
    topic = "arn:aws:sns:us-east-1:123456789012:alerts"
    references = {"AlertsTopic": topic}
    assert Access("Announce", references).publishes("AlertsTopic", topic)
    assert not Access("Announce", references, ["PlatformTopicKey"]).publishes("AlertsTopic", topic)
    assert not Access("Dispatch", references).publishes("AlertsTopic", topic)


def test_at_most_two_functions_read_a_stream():
    """DynamoDB throttles more than two readers of a shard."""
    readers = [
        str(event["Properties"]["Stream"])
        for properties in functions().values()
        for event in properties.get("Events", {}).values()
        if event["Type"] == "DynamoDB"
    ]
    assert all(readers.count(stream) <= 2 for stream in readers)


def test_every_outbox_entry_is_for_exactly_one_function():
    filters = {
        name: [json.loads(f["Pattern"]) for f in event["Properties"]["FilterCriteria"]["Filters"]]
        for name, properties in functions().items()
        for event in properties.get("Events", {}).values()
        if event["Type"] == "DynamoDB" and "Table" in str(event["Properties"]["Stream"])
    }
    for kind, receiver in (
        ("start_job", "Dispatch"),
        ("schedule_changed", "Dispatch"),
        ("drift_changed", "Announce"),
        ("guard_tripped", "Announce"),
        ("ramp_advanced", "Announce"),
        ("new", "Dispatch"),
    ):
        record = {"dynamodb": {"NewImage": {"outbox": {"M": {"kind": {"S": kind}}}}}}
        found = [
            name for name, patterns in filters.items() if any(matches(p, record) for p in patterns)
        ]
        assert found == [receiver], kind
    without = {"dynamodb": {"NewImage": {"PK": {"S": "x"}}}}
    assert not any(matches(p, without) for patterns in filters.values() for p in patterns)
