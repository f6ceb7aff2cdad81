"""template.yaml with its intrinsic functions resolved: functions, their events and the storage."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml

__all__ = ["Function", "HttpRoute", "QueueEvent", "StreamEvent", "Template", "parse"]

NO_VALUE: Final = object()
_NAMES: Final = {
    "AWS::Serverless::Function": "FunctionName",
    "AWS::Serverless::StateMachine": "Name",
}
"""The property that names a resource."""
_ARNS: Final = {
    "AWS::Serverless::Function": ("lambda", "function:"),
    "AWS::Serverless::StateMachine": ("states", "stateMachine:"),
    "AWS::DynamoDB::Table": ("dynamodb", "table/"),
    "AWS::SQS::Queue": ("sqs", ""),
    "AWS::SNS::Topic": ("sns", ""),
}
"""Service, and what stands before the name."""
_REFERRED_BY_ARN: Final = {"AWS::Serverless::StateMachine", "AWS::SNS::Topic"}
_VARIABLE = re.compile(r"\$\{([^!}][^}]*)\}")


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """One route of the HTTP API."""

    method: str
    path: str
    function: str
    public: bool

    @property
    def key(self) -> str:
        """API Gateway's route key, e.g. ``GET /models/{name}``."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class QueueEvent:
    """An SQS event source."""

    function: str
    queue_arn: str
    batch_size: int
    window_seconds: float
    reports_failures: bool


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """A DynamoDB stream event source."""

    function: str
    table: str
    batch_size: int
    patterns: tuple[Mapping[str, Any], ...]
    max_retries: int
    reports_failures: bool


@dataclass(frozen=True, slots=True)
class Function:
    """One Lambda function."""

    logical_id: str
    name: str
    folder: Path
    module: str
    attribute: str
    environ: Mapping[str, str]
    timeout: int
    memory: int


class Template:
    """A parsed template with the values of one deployment.

    Args:
        path: the template file.
        values: what ``Ref`` of a name, or ``GetAtt`` of ``Name.Attribute``, gives here; parameters
            and resources that are not in it get their default or a name made of the stack's.
        environ: variables whose value differs here from the template's; set only for functions that
            have them.
    """

    def __init__(
        self, path: Path, values: Mapping[str, Any], environ: Mapping[str, str] | None = None
    ) -> None:
        document = _document(path.read_text())
        self._conditions: dict[str, Any] = document.get("Conditions", {})
        self._globals: dict[str, Any] = document.get("Globals", {}).get("Function", {})
        self._environ = dict(environ or {})
        self.folder = path.parent
        self.resources: dict[str, Any] = document["Resources"]
        defaults = {n: p.get("Default", "") for n, p in document.get("Parameters", {}).items()}
        self._values: dict[str, Any] = {**defaults, "AWS::NoValue": NO_VALUE, **values}

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Resolved properties of every resource of one type whose condition holds, by logical id."""
        return {
            name: self.resolve(resource.get("Properties", {}))
            for name, resource in self.resources.items()
            if resource["Type"] == kind and self._holds(resource.get("Condition"))
        }

    def functions(self) -> dict[str, Function]:
        """Every function, by logical id."""
        shared = self.resolve(self._globals)
        shared_environ = shared.get("Environment", {}).get("Variables", {})
        found = {}
        for logical_id, own in self.of_type("AWS::Serverless::Function").items():
            properties = {"Timeout": 3, "MemorySize": 128, **shared, **own}
            module, _, attribute = properties["Handler"].rpartition(".")
            environ = shared_environ | own.get("Environment", {}).get("Variables", {})
            found[logical_id] = Function(
                logical_id=logical_id,
                name=properties["FunctionName"],
                folder=self.folder / properties["CodeUri"],
                module=module,
                attribute=attribute,
                environ={k: self._environ.get(k, str(v)) for k, v in environ.items()},
                timeout=int(properties["Timeout"]),
                memory=int(properties["MemorySize"]),
            )
        return found

    def routes(self) -> list[HttpRoute]:
        """Every route of the HTTP API, in the template's order."""
        return [
            HttpRoute(
                method=event["Method"].upper(),
                path=event["Path"],
                function=function,
                public=event.get("Auth", {}).get("Authorizer") == "NONE",
            )
            for function, event in self.events("HttpApi").values()
        ]

    def authorizer(self) -> tuple[str, str, float] | None:
        """The default authorizer: its function's ARN, the header that identifies, seconds to cache."""
        for api in self.of_type("AWS::Serverless::HttpApi").values():
            auth = api.get("Auth", {})
            if name := auth.get("DefaultAuthorizer"):
                authorizer = auth["Authorizers"][name]
                identity = authorizer["Identity"]
                arn = authorizer["FunctionArn"]
                return arn, identity["Headers"][0].lower(), identity.get("ReauthorizeEvery", 0)
        return None

    def queue_events(self) -> list[QueueEvent]:
        return [
            QueueEvent(
                function=function,
                queue_arn=event["Queue"],
                batch_size=int(event.get("BatchSize", 10)),
                window_seconds=float(event.get("MaximumBatchingWindowInSeconds", 0)),
                reports_failures=_reports_failures(event),
            )
            for function, event in self.events("SQS").values()
        ]

    def stream_events(self) -> list[StreamEvent]:
        return [
            StreamEvent(
                function=function,
                table=event["Stream"].split("/")[1],
                batch_size=int(event.get("BatchSize", 100)),
                patterns=tuple(
                    json.loads(each["Pattern"])
                    for each in event.get("FilterCriteria", {}).get("Filters", ())
                ),
                max_retries=int(event.get("MaximumRetryAttempts", 3)),
                reports_failures=_reports_failures(event),
            )
            for function, event in self.events("DynamoDB").values()
        ]

    def resolve(self, value: Any) -> Any:
        """``value`` without intrinsic functions."""
        if isinstance(value, dict):
            if len(value) == 1:
                ((key, argument),) = value.items()
                if key in {"Ref", "Condition"} or key.startswith("Fn::"):
                    return self._intrinsic(key, argument)
            resolved = {k: self.resolve(v) for k, v in value.items()}
            return {k: v for k, v in resolved.items() if v is not NO_VALUE}
        if isinstance(value, list):
            return [v for v in map(self.resolve, value) if v is not NO_VALUE]
        return value

    def events(self, kind: str) -> dict[str, tuple[str, dict[str, Any]]]:
        """Function and properties of every event of one type, by the logical id that SAM gives it."""
        return {
            function + name: (function, event["Properties"])
            for function, properties in self.of_type("AWS::Serverless::Function").items()
            for name, event in properties.get("Events", {}).items()
            if event["Type"] == kind
        }

    def _intrinsic(self, key: str, argument: Any) -> Any:
        match key:
            case "Ref":
                return self.reference(argument)
            case "Condition":
                return self._holds(argument)
            case "Fn::GetAtt":
                return self.reference(argument if isinstance(argument, str) else ".".join(argument))
            case "Fn::Sub":
                text, own = argument if isinstance(argument, list) else (argument, {})
                filled = _VARIABLE.sub(
                    lambda m: str(self.resolve(own[m[1]]) if m[1] in own else self.reference(m[1])),
                    text,
                )
                return filled.replace("${!", "${")
            case "Fn::If":
                return self.resolve(argument[1] if self._holds(argument[0]) else argument[2])
            case "Fn::Equals":
                return self.resolve(argument[0]) == self.resolve(argument[1])
            case "Fn::Not":
                return not self.resolve(argument[0])
            case "Fn::Join":
                return argument[0].join(str(self.resolve(part)) for part in argument[1])
        raise ValueError(f"template.yaml uses {key}, which the laptop stack does not resolve")

    def _holds(self, condition: str | None) -> bool:
        return condition is None or bool(self.resolve(self._conditions[condition]))

    def reference(self, reference: str) -> Any:
        """What ``Ref`` of a name, or ``GetAtt`` of ``Name.Attribute``, gives."""
        if reference in self._values:
            return self._values[reference]
        resource, _, attribute = reference.partition(".")
        if resource not in self.resources:
            raise ValueError(f"template.yaml refers to {reference}, which is not in it")
        kind, properties = self.resources[resource]["Type"], self.resources[resource]["Properties"]
        own = self._values.get(resource, f"{self._values['AWS::StackName']}-{resource}")
        name = self.resolve(properties.get(_NAMES.get(kind, ""), own))
        service, prefix = _ARNS.get(kind, ("local", ""))
        region, account = self._values["AWS::Region"], self._values["AWS::AccountId"]
        arn = f"arn:aws:{service}:{region}:{account}:{prefix}{name}"
        match attribute:
            case "Arn":
                return arn
            case "Alias":
                return f"{arn}:live"
            case "StreamArn":
                return f"{arn}/stream/local"
            case "" if kind in _REFERRED_BY_ARN:
                return arn
        return name


def _reports_failures(event: Mapping[str, Any]) -> bool:
    return "ReportBatchItemFailures" in event.get("FunctionResponseTypes", ())


def parse(text: str) -> dict[str, Any]:
    """A template with short tags in their long form and every ``Fn::ForEach`` loop written out."""
    document: dict[str, Any] = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader with CloudFormation's tags
    return {section: _unrolled(content) for section, content in document.items()}


@lru_cache(2)
def _document(text: str) -> dict[str, Any]:
    """The same, parsed once for all templates made of it, none of which changes it."""
    return parse(text)


def _unrolled(section: Any) -> Any:
    """One section without ``Fn::ForEach``; loops stand at its first level only."""
    if not isinstance(section, dict):
        return section
    entries: dict[str, Any] = {}
    for key, content in section.items():
        if key.startswith("Fn::ForEach::"):
            name, values, body = content
            for value in values:
                entries |= _with_loop_value(body, f"${{{name}}}", value)
        else:
            entries[key] = content
    return entries


def _with_loop_value(node: Any, variable: str, value: str) -> Any:
    """``node`` with ``variable`` replaced; a ``Sub`` left without variables becomes its text."""
    if isinstance(node, dict):
        filled = {
            key.replace(variable, value): _with_loop_value(item, variable, value)
            for key, item in node.items()
        }
        text = filled.get("Fn::Sub") if len(filled) == 1 else None
        return text if isinstance(text, str) and not _VARIABLE.search(text) else filled
    if isinstance(node, list):
        return [_with_loop_value(item, variable, value) for item in node]
    return node.replace(variable, value) if isinstance(node, str) else node


_Base: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""In C where PyYAML has it: seven times faster."""


class _Loader(_Base):  # type: ignore[misc,valid-type]
    """YAML with CloudFormation's short tags."""


def _short_tag(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = str(value).split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # the only kind left
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_tag)
