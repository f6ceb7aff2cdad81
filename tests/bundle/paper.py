"""What CloudFormation would be given: template.yaml through the SAM CLI's own transform, on paper.

Runs in the environment of the SAM CLI, not in the tests'. Reads one JSON request from standard input and
writes one JSON answer::

    {"code": {logical id: name of its artifact}, "stacks": [{parameter: value}]}
    {"templates": [{transformed template}], "identifiers": {resource type: [property]}}

``identifiers`` are the properties that name a resource of a type, by AWS's own resource schemas.
The loops (``Fn::ForEach``) are expanded by the SAM CLI's implementation of AWS::LanguageExtensions; all
other functions of the template are left to CloudFormation, as that transform leaves them.
"""

from __future__ import annotations

import json
import logging
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from samcli.lib.cfn_language_extensions.models import ResolutionMode, TemplateProcessingContext
from samcli.lib.cfn_language_extensions.processors import ForEachProcessor
from samcli.yamlhelper import yaml_parse
from samtranslator.public.exceptions import InvalidDocumentException
from samtranslator.translator.transform import transform

ROOT = Path(__file__).parents[2]
ARTIFACTS = ("CodeUri", "ContentUri", "DefinitionUri")


class NoManagedPolicies:
    """SAM asks for AWS-managed policies to make roles of; this template makes its own."""

    def load(self) -> dict[str, str]:
        return {}


def expanded() -> dict[str, Any]:
    document = yaml_parse((ROOT / "template.yaml").read_text())
    context = TemplateProcessingContext(fragment=document, resolution_mode=ResolutionMode.PARTIAL)
    ForEachProcessor().process_template(context)
    return context.fragment


def transformed(source: dict[str, Any], code: dict[str, str], values: dict[str, str]) -> Any:
    document = deepcopy(source)
    document["Transform"] = "AWS::Serverless-2016-10-31"
    for name, resource in document["Resources"].items():
        for key in ARTIFACTS:
            if key in resource.get("Properties", {}):
                resource["Properties"][key] = f"s3://artifacts/{code.get(name, name)}"
    parameters = {"AWS::Region": "eu-central-1"} | {
        name: str(values.get(name, declared.get("Default")))
        for name, declared in document["Parameters"].items()
    }
    try:
        return transform(document, parameters, NoManagedPolicies())
    except InvalidDocumentException as error:
        sys.exit("\n".join(str(cause.message) for cause in error.causes))


def identifiers(kind: str) -> list[str]:
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    return [path.removeprefix("/properties/") for path in schema.get("primaryIdentifier", [])]


def main() -> None:
    logging.disable(logging.CRITICAL)
    request = json.load(sys.stdin)
    source = expanded()
    templates = [transformed(source, request["code"], values) for values in request["stacks"]]
    kinds = {resource["Type"] for t in templates for resource in t["Resources"].values()}
    json.dump(
        {"templates": templates, "identifiers": {k: identifiers(k) for k in kinds}}, sys.stdout
    )


if __name__ == "__main__":
    main()
