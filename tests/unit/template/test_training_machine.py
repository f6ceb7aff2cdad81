"""The state machine of training sets against the function's answers and the template."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.template import ROOT, as_list, resources

TEXT = (ROOT / "statemachines" / "training_set.asl.json").read_text()
STATES: dict[str, Any] = json.loads(TEXT)["States"]
MACHINE = resources("AWS::Serverless::StateMachine")["TrainingStateMachine"]["Properties"]
ROLE = resources("AWS::IAM::Role")["TrainingStateMachineRole"]["Properties"]
ALLOWED = {s.get("Sid"): s for s in ROLE["Policies"][0]["PolicyDocument"]["Statement"]}


def after_the_plan(**answer: str) -> str:
    """The state that follows an answer of the plan."""
    assert STATES["Begin"]["Next"] == "Refused?"
    for choice in STATES["Refused?"]["Choices"]:
        if answer[choice["Variable"].removeprefix("$.")] == choice["StringEquals"]:
            return str(choice["Next"])
    return str(STATES["Refused?"]["Default"])


@pytest.mark.parametrize(
    ("status", "engine", "next_"),
    [
        ("FAILED", "", "Done"),
        ("RUNNING", "duckdb", "Join"),
        ("RUNNING", "athena", "Query"),
    ],
)
def test_the_plan_decides_what_comes_next(status: str, engine: str, next_: str) -> None:
    assert after_the_plan(status=status, engine=engine) == next_


def test_every_state_is_reached_and_every_next_exists() -> None:
    named = set(re.findall(r'"(?:Next|Default|StartAt)": "([^"]+)"', TEXT))
    assert named == set(STATES)


def test_athena_is_waited_for_and_its_failure_is_recorded_not_repeated() -> None:
    query = STATES["Query"]
    assert query["Resource"] == "arn:aws:states:::athena:startQueryExecution.sync"
    assert query["ResultPath"] is None, "the job's id stays for the task after it"
    assert (query["Next"], query["Catch"][0]["Next"]) == ("Join", "Record failure")
    # a second UNLOAD into the folder of one that broke off would fail for that
    retried = {name for retry in query["Retry"] for name in retry["ErrorEquals"]}
    assert all(name.startswith("Athena.") for name in retried)
    assert len("neuralstream-job-") + 26 >= 32, "the shortest ClientRequestToken"


def test_every_substitution_of_the_definition_is_given() -> None:
    assert set(re.findall(r"\$\{(\w+)\}", TEXT)) == set(MACHINE["DefinitionSubstitutions"])


def test_the_work_group_bounds_what_a_query_scans_and_encrypts_what_it_writes() -> None:
    (group,) = resources("AWS::Athena::WorkGroup").values()
    settings = group["Properties"]["WorkGroupConfiguration"]
    assert settings["EnforceWorkGroupConfiguration"]
    assert settings["BytesScannedCutoffPerQuery"] == {"Ref": "AthenaMaximumBytes"}
    encryption = settings["ResultConfiguration"]["EncryptionConfiguration"]
    assert encryption["KmsKey"] == {"Fn::GetAtt": ["DataKey", "Arn"]}


def test_a_query_reads_tables_of_jobs_and_writes_working_files_only() -> None:
    writes = [s for s in ALLOWED.values() if s and "s3:PutObject" in as_list(s.get("Action", []))]
    assert [s["Resource"] for s in writes] == [{"Fn::Sub": "${DataBucket.Arn}/jobs/_work/*"}]
    tables = ALLOWED["TablesOfJobs"]
    assert not any("Create" in action or "Delete" in action for action in tables["Action"])
    assert tables["Resource"][-1]["Fn::Sub"].endswith("table/${HistoryDatabase}/job_*")
    assert ALLOWED["Query"]["Resource"]["Fn::Sub"].endswith("workgroup/${TrainingWorkGroup}")
