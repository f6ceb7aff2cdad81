"""Whether AWS would let a function do something: its role's policies and a key's policy, with conditions.

`tests.support.policy` judges recorded calls by action and resource; this also evaluates conditions,
managed policies, denials and the key that a service uses on the caller's behalf.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from tests.support.template import as_list, template

__all__ = ["REFERENCES", "Access"]

REFERENCES = {
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::AccountId": "123456789012",
    "AWS::StackName": "neuralstream",
}


class Access:
    """What one function's role may do, as template.yaml says.

    Args:
        function: logical id without ``Function``.
        references: what CloudFormation would put in place of names; any other gets an ARN of its own.
        without: Sids of statements to leave out, for a role that lacks them.
    """

    def __init__(
        self,
        function: str,
        references: Mapping[str, str] | None = None,
        without: Iterable[str] = (),
    ) -> None:
        self._references = {**REFERENCES, **(references or {})}
        left_out = frozenset(without)
        role = template()["Resources"][f"{function}Role"]["Properties"]
        own = template()["Resources"].get(f"{function}Policy")
        documents = [
            *([] if own is None else [own["Properties"]["PolicyDocument"]]),
            *(
                template()["Resources"][managed["Ref"]]["Properties"]["PolicyDocument"]
                for managed in role.get("ManagedPolicyArns", [])
            ),
        ]
        self._identity = [
            self._resolved(statement.get("Fn::If", [None, statement])[1])
            for document in documents
            for statement in document["Statement"]
        ]
        self._identity = [s for s in self._identity if s["Sid"] not in left_out]

    def allows(self, action: str, resource: str, **context: str) -> bool:
        """By the role's own policies; ``context`` has condition keys with ``_`` for ``:``."""
        keys = {name.replace("_", ":", 1): value for name, value in context.items()}
        fitting = [s for s in self._identity if _fits(s, action, resource, keys)]
        return any(s["Effect"] == "Allow" for s in fitting) and not any(
            s["Effect"] == "Deny" for s in fitting
        )

    def uses_key(self, key: str, action: str, service: str) -> bool:
        """Whether ``service`` may use a KMS key on behalf of this role: by the role's policies and by the
        key's own, which must let the account's policies decide or name the role."""
        region = self._references["AWS::Region"]
        context = {"kms:ViaService": f"{service}.{region}.amazonaws.com"}
        arn = self._reference(f"{key}.Arn")
        policy = self._resolved(template()["Resources"][key]["Properties"]["KeyPolicy"])
        root = f"arn:aws:iam::{self._references['AWS::AccountId']}:root"
        delegated = any(
            root in as_list(statement["Principal"].get("AWS", []))
            and _fits({**statement, "Resource": arn}, action, arn, context)
            for statement in policy["Statement"]
            if statement["Effect"] == "Allow"
        )
        return delegated and self.allows(action, arn, kms_ViaService=context["kms:ViaService"])

    def publishes(self, topic: str, arn: str) -> bool:
        """Whether the role may publish to a topic of the template, its encryption included."""
        key = template()["Resources"][topic]["Properties"]["KmsMasterKeyId"]
        return self.allows("sns:Publish", arn) and all(
            self.uses_key(key["Ref"], action, "sns")
            for action in ("kms:GenerateDataKey", "kms:Decrypt")
        )

    def _resolved(self, value: Any) -> Any:
        match value:
            case {"Ref": name}:
                return self._reference(name)
            case {"Fn::GetAtt": [name, attribute]}:
                return self._reference(f"{name}.{attribute}")
            case {"Fn::Sub": str(text)}:
                return re.sub(r"\$\{([^}]+)\}", lambda found: self._reference(found[1]), text)
            case {"Fn::If": [_, given, _]}:
                return self._resolved(given)
            case dict():
                return {name: self._resolved(part) for name, part in value.items()}
            case list():
                return [self._resolved(part) for part in value]
            case _:
                return value

    def _reference(self, name: str) -> str:
        return self._references.get(name, f"arn:aws:test:::{name}")


def _fits(
    statement: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str]
) -> bool:
    return (
        any(fnmatchcase(action, pattern) for pattern in as_list(statement["Action"]))
        and any(fnmatchcase(resource, pattern) for pattern in as_list(statement["Resource"]))
        and all(
            _holds(operator, context.get(key), as_list(wanted))
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def _holds(operator: str, value: str | None, wanted: list[str]) -> bool:
    match operator:
        case "StringEquals" | "Bool" | "ArnEquals":
            return value in wanted
        case "StringLike" | "ArnLike":
            return value is not None and any(fnmatchcase(value, pattern) for pattern in wanted)
        case "StringNotEquals":
            return value not in wanted
        case _:
            raise ValueError(f"the test does not know the condition {operator}")
