"""What to do about an error, in words of the command instead of the Python client's."""

from __future__ import annotations

from typing import Final

__all__ = ["in_command"]

_WORDS: Final = {
    "no stack is given: set NEURALSTREAM_URL, or pass url, such as NeuralStream('http://127.0.0.1:8000')": (
        "no stack is given.\nWhat to do: set NEURALSTREAM_URL, or pass --url, such as --url http://127.0.0.1:8000"
    ),
    "ns.features.apply(…)": "`neuralstream views apply`",
    "ns.features.delete(…)": "DELETE /features/views/VIEW",
    "ns.features.get(view).features": "`neuralstream views describe VIEW`",
    "ns.features.get(view)": "`neuralstream views describe VIEW`",
    "ns.models.list()": "`neuralstream models list`",
    "ns.models.versions(model)": "`neuralstream models show MODEL`",
    "ns.models.version(model, version).reason": "`neuralstream models show MODEL`",
    "ns.models.get(model)": "`neuralstream models show MODEL`",
    "ns.models.promote(model, version)": "`neuralstream models promote MODEL VERSION`",
    "ns.models.end_split(model)": "`neuralstream models split MODEL --end`",
    "ns.models.edit(model, require=…)": "PATCH /models/MODEL",
    "ns.jobs.list()": "`neuralstream jobs list`",
    "ns.keys.list()": "`neuralstream keys list`",
    "ns.schedules.list()": "`neuralstream schedules list`",
    "ns.services.list()": "`neuralstream services list`",
    "give entity_id=…, and entities=… for": "give the entity's id, and --entity KEY=ID for",
    "api_key=…": "--api-key",
    "expected_revision": "--expected-revision",
    "expires_at=…": "--days",
    "version=…": "--version",
    "features=…": "--feature NAME=VALUE",
    "missing='default'": "--missing default",
    "allow_empty=True": "--allow-empty",
    "input_format='csv', 'jsonl' or 'parquet'": "--input-format csv, jsonl or parquet",
}
"""The longer of two that overlap comes first."""


def in_command(text: str) -> str:
    """The text of an error with the command's own names."""
    for python, command in _WORDS.items():
        text = text.replace(python, command)
    return text
