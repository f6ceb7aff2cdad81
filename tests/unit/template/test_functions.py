"""template.yaml against the code: handlers, settings, routes, scopes and imports of every function."""

import json
import os
import subprocess
import sys
from functools import cache

import pytest

from neuralstream_core.keys import Scope
from tests.support.template import ROOT, functions, global_variables, routes, template

FUNCTIONS = sorted(functions())

STAND_INS = {
    "NEURALSTREAM_REDIS_HOST": "cache.example.internal",
    "NEURALSTREAM_REDIS_PORT": "6379",
    "NEURALSTREAM_REDIS_CACHE_NAME": "neuralstream",
    "NEURALSTREAM_REDIS_IAM_USER": "neuralstream-functions",
    "NEURALSTREAM_NAMESPACE": "default",
    "NEURALSTREAM_BATCH_CONCURRENCY": "4",
    "NEURALSTREAM_ATHENA_FROM_BYTES": "21474836480",
}
"""What CloudFormation would put in place of a reference."""

LIGHT = {
    "annotated_types",
    "aws_lambda_powertools",
    "botocore",  # the empty package: Powertools names itself to it
    "cachetools",
    "dotenv",
    "jmespath",
    "neuralstream_core",
    "neuralstream_lambda",
    "pydantic",
    "pydantic_core",
    "pydantic_settings",
    "typing_extensions",
    "typing_inspection",
}
MAY_IMPORT = {
    "Announce": LIGHT,
    "Authorizer": LIGHT,
    "BatchPredict": LIGHT | {"hiredis", "numpy"},
    "BatchTask": LIGHT | {"hiredis", "numpy"},
    "Console": LIGHT,
    "Dispatch": LIGHT,
    "FeatureIngest": LIGHT | {"hiredis", "numpy", "redis"},
    "FeatureRead": LIGHT | {"hiredis", "numpy", "redis"},
    "FeatureWrite": LIGHT | {"hiredis", "numpy", "redis"},
    "History": LIGHT | {"hiredis", "numpy"},
    "Keys": LIGHT,
    "Monitoring": LIGHT | {"hiredis", "numpy", "redis"},
    "MonitoringScheduled": LIGHT | {"hiredis", "numpy", "redis"},
    "Outcomes": LIGHT | {"hiredis", "numpy"},
    "OutcomesIngest": LIGHT | {"hiredis", "numpy", "redis"},
    "OutcomesScheduled": LIGHT | {"hiredis", "numpy", "redis"},
    "Predict": LIGHT | {"hiredis", "numpy", "onnxruntime", "redis"},
    "Registry": LIGHT | {"hiredis", "numpy"},
    "Training": LIGHT | {"hiredis", "numpy"},
    "TrainingTask": LIGHT | {"hiredis", "numpy"},
}
"""What a function may import before its first request. Anything else waits until it is needed, as
every package here is paid for in each cold start (boto3 alone: 100 to 400 ms)."""


@cache
def variables(function):
    """The variables CloudFormation would set, references replaced by a stand-in."""
    own = functions()[function].get("Environment", {}).get("Variables", {})
    return {
        name: value if isinstance(value, str) else STAND_INS.get(name, "stand-in")
        for name, value in (global_variables() | own).items()
    }


@cache
def probe(function):
    """What a fresh interpreter finds when it imports the function with exactly its own variables."""
    properties = functions()[function]
    module, _, handler = properties["Handler"].rpartition(".")
    assert module == "app"
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("NEURALSTREAM_", "AWS_"))}
    run = subprocess.run(
        [sys.executable, "tests/support/probe.py", properties["CodeUri"], handler],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
        env=environ | variables(function),
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_handler_exists_and_imports_without_any_dependency_up(function):
    assert probe(function)["handler"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_variable_is_read_and_every_needed_one_is_set(function):
    ours = {name for name in variables(function) if name.startswith("NEURALSTREAM_")}
    found = probe(function)
    own = ours - set(global_variables())
    assert own - set(found["variables"]) == set(), "set for this function, not read by it"
    assert set(found["required"]) - ours == set(), "needed by the function, not set"
    left_to_default = set(found["variables"]) - ours
    assert {name for name in left_to_default if not name.endswith("_MS")} == set(), (
        "on AWS the laptop's default would be wrong"
    )


def test_every_variable_that_all_functions_have_is_read_by_one():
    read = set().union(*(probe(function)["variables"] for function in FUNCTIONS))
    ours = {name for name in global_variables() if name.startswith("NEURALSTREAM_")}
    assert ours <= read


@pytest.mark.parametrize("function", FUNCTIONS)
def test_template_and_code_declare_the_same_routes(function):
    if functions()[function]["Handler"] != "app.lambda_handler":
        assert routes(function) == {}
        return
    assert {key.replace("+}", "}") for key in routes(function)} == set(probe(function)["routes"])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_route_has_a_scope_and_only_public_ones_pass_the_authorizer(function):
    declared = probe(function)["routes"]
    for key, properties in routes(function).items():
        public = properties.get("Auth", {}).get("Authorizer") == "NONE"
        scope = declared[key.replace("+}", "}")]
        assert scope in {*Scope, "public"}
        assert public == (scope == "public"), key


def test_only_health_and_the_documentation_are_public():
    public = {
        key
        for function in FUNCTIONS
        for key, properties in routes(function).items()
        if properties.get("Auth", {}).get("Authorizer") == "NONE"
    }
    assert public == {
        "GET /health",
        "GET /docs",
        "GET /openapi.json",
        "GET /console",
        "GET /console/{file+}",
    }


def test_no_two_functions_have_the_same_route():
    every = [key for function in FUNCTIONS for key in routes(function)]
    assert len(every) == len(set(every))
    assert len(every) >= 40


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_imports_only_what_it_may(function):
    assert set(probe(function)["packages"]) - MAY_IMPORT[function] == set()
    assert "botocore.session" not in probe(function)["modules"]


def test_every_throttled_route_exists():
    throttled = set(template()["Resources"]["Api"]["Properties"]["RouteSettings"])
    assert throttled <= {key for function in FUNCTIONS for key in routes(function)}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_has_an_event_of_its_own(function):
    name = f"{functions()[function]['FunctionName']['Fn::Sub'].removeprefix('${AWS::StackName}-')}"
    event = json.loads((ROOT / "events" / f"{name.replace('-', '_')}.json").read_text())
    if routes(function):
        assert event["version"] == "2.0"
        assert event["routeKey"] in routes(function)
