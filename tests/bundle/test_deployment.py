"""The deployment on paper: what the SAM transform makes of template.yaml and of the built artifacts."""

import io
import itertools
import json
import platform
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import boto3
import pytest
from moto import mock_aws
from moto.cloudformation.parsing import get_model_map

from tests.bundle.emulator import BUILD
from tests.support.template import ROOT, as_list, functions, template

SAM_PYTHON = ROOT / ".venv-bundle" / "bin" / "python"
EVERYTHING = {
    "AlertEmail": "on-call@example.com",
    "AvailabilityZones": "eu-central-1a,eu-central-1b",
    "CacheSnapshotArn": "arn:aws:elasticache:eu-central-1:123456789012:serverlesscachesnapshot:last",
    "CorsOrigins": "https://a.example.com,https://b.example.com",
    "DomainCertificateArn": "arn:aws:acm:eu-central-1:123456789012:certificate/0000-0000",
    "DomainName": "ml.example.com",
    "JobBucket": "somebodys-bucket",
    "MonthlyBudget": "500",
    "Tracing": "Active",
}
"""A value for each parameter that turns something on."""

PSEUDO = {"AccountId", "NoValue", "Partition", "Region", "StackId", "StackName", "URLSuffix"}
MAXIMUM_RESOURCES = 500
MAXIMUM_TEMPLATE = 1_000_000  # bytes, as an object in S3
MAXIMUM_ENVIRONMENT = 4096  # bytes of a function's variables
LAYERS = ["BatchLayer", "CoreLayer", "InferenceLayer"]
MACHINES = {"arm64": 0xB7, "x86_64": 0x3E}
"""``e_machine`` of the ELF header, by architecture of the template."""
HOST = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"


def allowed(parameter):
    return template()["Parameters"][parameter]["AllowedValues"]


STACKS = [
    {"Stage": stage, "DeploymentStrategy": strategy, "ColdStart": cold_start}
    for stage, strategy, cold_start in itertools.product(
        allowed("Stage"), allowed("DeploymentStrategy"), allowed("ColdStart")
    )
]
STACKS += [{"Stage": stage, **EVERYTHING} for stage in allowed("Stage")]


def on_paper(stacks, code=None):
    """The transformed template of each of ``stacks``, and which properties name a resource."""
    run = subprocess.run(
        [SAM_PYTHON, "tests/bundle/paper.py"],
        input=json.dumps({"code": code or {}, "stacks": stacks}),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={"AWS_DEFAULT_REGION": "eu-central-1", "HOME": str(Path.home())},
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def papers():
    """Every stack of `STACKS` on paper."""
    return on_paper(STACKS)


@pytest.fixture(scope="module")
def transformed(papers):
    """One template that has everything."""
    return papers["templates"][-1]


def walk(node):
    """Every intrinsic function below ``node``, as ``(name, argument)``."""
    if isinstance(node, dict):
        if len(node) == 1:
            ((key, argument),) = node.items()
            if key in ("Ref", "Condition") or key.startswith("Fn::"):
                yield key, argument
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


def names_in(node):
    """Every parameter or resource that ``node`` refers to; attributes are cut off."""
    for key, argument in walk(node):
        match key, argument:
            case "Ref", {"Fn::Sub": str(name)}:
                yield name
            case "Ref", str(name):
                yield name
            case "Fn::GetAtt", [{"Fn::Sub": str(name)}, _] | [str(name), _]:
                yield name
            case "Fn::GetAtt", str(name):
                yield name.split(".")[0]
            case "Fn::Sub", text:
                body, own = text if isinstance(text, list) else (text, {})
                for part in body.split("${")[1:]:
                    name = part.split("}")[0].split(".")[0]
                    if name not in own and not name.startswith("!"):
                        yield name


def stack_id(index):
    return "-".join(str(value) for value in STACKS[index].values())[:60]


@pytest.mark.parametrize("index", range(len(STACKS)), ids=stack_id)
def test_the_transform_accepts_the_template_and_every_reference_resolves(index, papers):
    document = papers["templates"][index]
    known = {*document["Resources"], *document["Parameters"], *(f"AWS::{name}" for name in PSEUDO)}
    for part in ("Resources", "Outputs"):
        for name, entry in document[part].items():
            assert set(names_in(entry)) <= known, name
            assert set(as_list(entry.get("DependsOn", []))) <= set(document["Resources"]), name
            assert entry.get("Condition", "IsProduction") in document["Conditions"], name
    for key, argument in walk(document):
        if key == "Fn::If":
            assert argument[0] in document["Conditions"]


@pytest.mark.parametrize("index", range(len(STACKS)), ids=stack_id)
def test_the_stack_stays_far_below_cloudformations_limits(index, papers):
    document = papers["templates"][index]
    assert len(document["Resources"]) < 0.8 * MAXIMUM_RESOURCES
    assert len(json.dumps(document)) < 0.8 * MAXIMUM_TEMPLATE
    assert len(document["Parameters"]) <= 200
    assert len(document["Outputs"]) <= 200


def test_a_condition_that_holds_for_a_stack_is_never_left_to_the_transform(papers):
    """The transform sees parameters only; what a condition decides, CloudFormation decides."""
    for document in papers["templates"]:
        for name, group in document["Resources"].items():
            if group["Type"] == "AWS::CodeDeploy::DeploymentGroup":
                (alarm,) = group["Properties"]["AlarmConfiguration"]["Alarms"]
                assert alarm["Name"]["Fn::If"][0] == "IsCanary", name


def test_no_two_stacks_of_an_account_would_share_a_name(papers, transformed):
    """What names a resource, by AWS's schemas, is left to CloudFormation or refers to this stack."""
    for name, resource in transformed["Resources"].items():
        properties = resource.get("Properties", {})
        given = [
            properties[key]
            for key in (*papers["identifiers"][resource["Type"]], "LayerName", "BudgetName")
            if key in properties
        ]
        assert not given or set(names_in(given)) - {"AWS::Region", "AWS::AccountId"}, name
    budget = transformed["Resources"]["Budget"]["Properties"]["Budget"]
    assert set(names_in(budget["BudgetName"])) == {"AWS::StackName"}


def test_the_last_snapshot_and_a_replaced_cache_find_their_names_free(transformed):
    cache_ = transformed["Resources"]["Cache"]["Properties"]
    assert "AWS::StackId" in set(names_in(cache_["FinalSnapshotName"]))
    for key in ("FinalSnapshotName", "ServerlessCacheName"):
        assert "CacheGeneration" in set(names_in(cache_[key]))


def test_a_first_creation_that_fails_leaves_nothing_behind(transformed):
    for name, resource in transformed["Resources"].items():
        if resource["Type"] != "AWS::Lambda::Version":  # goes with its function
            policy = resource.get("DeletionPolicy", "Delete")
            assert policy in ("Delete", "RetainExceptOnCreate"), name


def test_no_parameter_reaches_a_number_inside_free_form_json(transformed):
    """CloudFormation converts a reference to a number only where a property's type is known."""
    (stage,) = (
        resource["Properties"]
        for resource in transformed["Resources"].values()
        if resource["Type"] == "AWS::ApiGatewayV2::Stage"
    )
    assert list(walk(stage["RouteSettings"])) == []
    assert list(walk(stage["DefaultRouteSettings"])) == [] or all(
        key == "Ref" for key, _ in walk(stage["DefaultRouteSettings"])
    )


def test_every_security_scheme_of_the_api_is_declared_or_warnings_do_not_fail_the_import(
    transformed,
):
    api = transformed["Resources"]["Api"]["Properties"]
    declared = set(api["Body"]["components"]["securitySchemes"])
    used = {
        scheme
        for path in api["Body"]["paths"].values()
        for operation in path.values()
        for requirement in operation["security"]
        for scheme in requirement
    }
    assert used - declared == {"NONE"}
    assert "FailOnWarnings" not in api


@pytest.mark.parametrize("function", sorted(functions()))
def test_a_functions_variables_fit_into_four_kilobytes(function, transformed):
    longest = "x" * 128  # what a reference may become; an ARN of this stack is shorter
    variables = transformed["Resources"][f"{function}Function"]["Properties"]["Environment"][
        "Variables"
    ]
    size = sum(
        len(name) + len(value if isinstance(value, str) else longest)
        for name, value in variables.items()
    )
    assert size < MAXIMUM_ENVIRONMENT


# ---- what a change reaches ---------------------------------------------------------------------


def built(folder, target):
    """Every function's artifact, made by the functions' Makefile as ``sam build`` makes it."""
    for name, properties in functions().items():
        artifacts, scratch = target / f"{name}Function", target / f"scratch-{name}"
        artifacts.mkdir(parents=True)
        shutil.copytree(folder / properties["CodeUri"], scratch)
        subprocess.run(
            [
                shutil.which("make"),
                "-s",
                "-f",
                folder / "functions" / "Makefile",
                f"build-{name}Function",
            ],
            check=True,
            cwd=scratch,
            env={
                "ARTIFACTS_DIR": str(artifacts),
                "PATH": "/usr/bin:/bin",
                "HOME": str(Path.home()),
            },
        )
    return target


def digests(folder, names):
    """The SAM CLI's own digest of each artifact, which becomes the name of its object."""
    code = (
        "import sys; from samcli.lib.utils.hash import dir_checksum\n"
        "for path in sys.argv[1:]: print(dir_checksum(path))"
    )
    paths = [folder / name for name in names]
    run = subprocess.run(
        [SAM_PYTHON, "-c", code, *paths], capture_output=True, text=True, check=True
    )
    return dict(zip(names, run.stdout.split(), strict=True))


FUNCTIONS = sorted(f"{name}Function" for name in functions())


def versions(code):
    """Function → logical id of its published version; a new id is a new version."""
    (document,) = on_paper([STACKS[0]], code)["templates"]
    return {
        resource["Properties"]["FunctionName"]["Ref"]: name
        for name, resource in document["Resources"].items()
        if resource["Type"] == "AWS::Lambda::Version"
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of everything a build reads, to be changed."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("console", "functions", "layers", "neuralstream_core"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def unchanged(source, tmp_path_factory):
    return versions(digests(built(source, tmp_path_factory.mktemp("built")), FUNCTIONS))


def changed(source, path, tmp_path_factory):
    """The versions after one more line in one file; the file is as it was afterwards."""
    file = source / path
    before = file.read_text()
    file.write_text(before + "\n# one more line\n")
    try:
        return versions(digests(built(source, tmp_path_factory.mktemp("built")), FUNCTIONS))
    finally:
        file.write_text(before)


def test_building_again_without_a_change_publishes_no_version(source, unchanged, tmp_path_factory):
    again = built(source, tmp_path_factory.mktemp("built"))
    assert versions(digests(again, FUNCTIONS)) == unchanged
    assert set(unchanged) == set(FUNCTIONS)


@pytest.mark.parametrize(
    "path",
    [
        "neuralstream_core/errors.py",
        "layers/core/neuralstream_lambda/problems.py",
        "layers/inference/requirements.txt",
        "layers/batch/requirements.in",
        "layers/build.py",
    ],
)
def test_a_change_in_the_core_or_a_layer_publishes_a_version_of_every_function(
    path, source, unchanged, tmp_path_factory
):
    after = changed(source, path, tmp_path_factory)
    assert all(after[function] != unchanged[function] for function in FUNCTIONS)


def test_a_change_in_one_function_publishes_a_version_of_it_alone(
    source, unchanged, tmp_path_factory
):
    after = changed(source, "functions/predict/app.py", tmp_path_factory)
    assert {f for f in FUNCTIONS if after[f] != unchanged[f]} == {"PredictFunction"}


def test_the_built_bundle_is_what_the_same_sources_give_again(source, tmp_path_factory):
    """Two builds of the same commit are the same bytes, so that a deployment without a change is none."""
    again = built(source, tmp_path_factory.mktemp("built"))
    assert digests(again, FUNCTIONS) == digests(BUILD, FUNCTIONS)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_built_again_is_the_same_bytes(layer, tmp_path):
    environ = {"ARTIFACTS_DIR": str(tmp_path / layer), "ARCH": HOST, "PATH": "/usr/bin:/bin"}
    folder = template()["Resources"][layer]["Properties"]["ContentUri"]
    subprocess.run(
        [shutil.which("make"), "-s", "-f", f"{folder}/Makefile", f"build-{layer}"],
        check=True,
        cwd=ROOT,
        env=environ | {"HOME": str(Path.home())},
    )
    assert digests(tmp_path, [layer]) == digests(BUILD, [layer])


@pytest.mark.parametrize("architecture", sorted(MACHINES))
def test_the_layers_of_each_architecture_hold_its_machine_code(architecture):
    """``tests/bundle/prepare`` builds both, with the command the README gives."""
    folder = BUILD if architecture == HOST else ROOT / ".run" / f"built-{architecture}"
    libraries = [path for layer in LAYERS for path in (folder / layer).rglob("*.so*")]
    assert len(libraries) >= 10
    for path in libraries:
        head = path.read_bytes()[:20]
        assert head[:4] == b"\x7fELF", path
        assert int.from_bytes(head[18:20], "little") == MACHINES[architecture], path


# ---- moto's CloudFormation ---------------------------------------------------------------------

DEFINITIONS = {
    "BatchStateMachine": "batch_predict.asl.json",
    "TrainingStateMachine": "training_set.asl.json",
}
NOT_IN_MOTO = {
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::ApiMapping",
    "AWS::ApiGatewayV2::DomainName",
    "AWS::ApiGatewayV2::Stage",
    "AWS::Athena::WorkGroup",
    "AWS::Budgets::Budget",
    "AWS::CloudWatch::Alarm",
    "AWS::CodeDeploy::Application",
    "AWS::CodeDeploy::DeploymentGroup",
    "AWS::ElastiCache::ServerlessCache",
    "AWS::ElastiCache::User",
    "AWS::ElastiCache::UserGroup",
    "AWS::Glue::Database",
    "AWS::IAM::RolePolicy",
    "AWS::Lambda::Alias",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::S3::BucketPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::Scheduler::Schedule",
    "AWS::Scheduler::ScheduleGroup",
}
"""What moto's CloudFormation cannot create; everything else is created below."""


def within_moto(document):
    """The template without what moto cannot create; a reference to such a resource becomes an ARN."""
    gone = {n for n, r in document["Resources"].items() if r["Type"] in NOT_IN_MOTO}
    stand_in = "arn:aws:elasticache:us-east-1:123456789012:stand-in"

    def kept(node):
        match node:
            case {"Fn::If": [_, wanted, {"Ref": "AWS::NoValue"}]}:  # moto leaves a null in a list
                return kept(wanted)
            case {"Ref": {"Fn::Sub": name}}:
                return kept({"Ref": name})
            case {"Ref": str(name)} if name in gone and name.endswith("Aliaslive"):
                return {"Fn::GetAtt": [name.removesuffix("Aliaslive"), "Arn"]}
            case {"Ref": str(name)} if name in gone:
                return stand_in
            case {"Fn::GetAtt": [{"Fn::Sub": name}, attribute]}:
                return kept({"Fn::GetAtt": [name, attribute]})
            case {"Fn::GetAtt": [name, _]} if name in gone:
                return stand_in
            case {"Fn::Sub": str(text)}:
                named = re.compile(r"\$\{(\w+)[^}]*\}")
                return {"Fn::Sub": named.sub(lambda m: stand_in if m[1] in gone else m[0], text)}
            case dict():
                return {key: kept(value) for key, value in node.items()}
            case list():
                return [kept(value) for value in node]
            case _:
                return node

    resources = {n: kept(r) for n, r in document["Resources"].items() if n not in gone}
    for resource in resources.values():
        needed = [name for name in as_list(resource.pop("DependsOn", [])) if name not in gone]
        if needed:
            resource["DependsOn"] = needed
    return {
        "Parameters": document["Parameters"],
        "Conditions": document["Conditions"],
        "Resources": resources,
    }


def test_cloudformation_creates_all_that_motos_can(transformed):
    document = within_moto(transformed)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("app.py", "def lambda_handler(event, context): ...")
    counted = {}
    for resource in document["Resources"].values():
        counted[resource["Type"]] = counted.get(resource["Type"], 0) + 1
    with mock_aws():
        client = {
            name: boto3.client(name, region_name="us-east-1")
            for name in ("cloudformation", "dynamodb", "iam", "lambda", "logs", "s3", "sns", "sqs")
        }
        states = boto3.client("stepfunctions", region_name="us-east-1")
        client["s3"].create_bucket(Bucket="artifacts")
        for name in transformed["Resources"]:
            client["s3"].put_object(Bucket="artifacts", Key=name, Body=archive.getvalue())
        for layer in ("CoreLayer", "InferenceLayer", "BatchLayer"):
            client["s3"].put_object(Bucket="artifacts", Key=layer, Body=archive.getvalue())
        for machine, file in DEFINITIONS.items():
            definition = (ROOT / "statemachines" / file).read_bytes()
            client["s3"].put_object(Bucket="artifacts", Key=machine, Body=definition)
        client["s3"].put_object(Bucket="artifacts", Key="t.json", Body=json.dumps(document))
        client["cloudformation"].create_stack(
            StackName="neuralstream-dev",
            TemplateURL="https://s3.amazonaws.com/artifacts/t.json",
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value} for key, value in EVERYTHING.items()
            ],
        )
        (stack,) = client["cloudformation"].describe_stacks()["Stacks"]
        made = {
            "AWS::DynamoDB::Table": client["dynamodb"].list_tables()["TableNames"],
            "AWS::IAM::Role": client["iam"].list_roles()["Roles"],
            "AWS::Lambda::Function": client["lambda"].list_functions()["Functions"],
            "AWS::Logs::LogGroup": client["logs"].describe_log_groups()["logGroups"],
            "AWS::S3::Bucket": client["s3"].list_buckets()["Buckets"][1:],
            "AWS::SNS::Topic": client["sns"].list_topics()["Topics"],
            "AWS::SQS::Queue": client["sqs"].list_queues()["QueueUrls"],
            "AWS::StepFunctions::StateMachine": states.list_state_machines()["stateMachines"],
        }
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert {kind: len(found) for kind, found in made.items()} == {
        kind: counted[kind] for kind in made
    }


def test_the_list_of_what_moto_cannot_create_is_true(transformed):
    kinds = {resource["Type"] for resource in transformed["Resources"].values()}
    assert kinds >= NOT_IN_MOTO
    assert kinds & NOT_IN_MOTO & set(get_model_map()) == set()
