"""What the stack of 0.1.0 stored and answered (tests/data/0.1.0), put into the stores of this release."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from neuralstream_core.redis import RedisPort
from neuralstream_core.table import Table
from neuralstream_core.time import Micros

__all__ = ["BUCKET", "NAMESPACE", "Asked", "Dump", "less"]

NAMESPACE: Final = "default"
BUCKET: Final = "neuralstream-local-data"
_FOLDER: Final = Path(__file__).parents[1] / "data/0.1.0"
_WRITE: Final = {"string": b"SET", "set": b"SADD", "hash": b"HSET", "list": b"RPUSH"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to the stack of 0.1.0, and its answer."""

    method: str
    path: str
    body: Any
    status: int
    answer: Any


class Dump:
    """Loads the dump, and takes it out again.

    Attributes:
        at: when 0.1.0 gave its last answers, in microseconds.
        keys: API keys by what is special about them.
    """

    def __init__(self) -> None:
        answers = _read("answers")
        self.at: Micros = answers.pop("at")
        self.keys: Mapping[str, str] = answers.pop("keys")
        self._answers = [Asked(**answer) for answer in answers.values()]

    def asked(self, chosen: Callable[[Asked], bool]) -> list[Asked]:
        """The requests of a kind; at least one."""
        found = [each for each in self._answers if chosen(each)]
        assert found
        return found

    def answer(self, path: str) -> Any:
        """The answer of one GET."""
        (found,) = self.asked(lambda each: each.method == "GET" and each.path == path)
        return found.answer

    def fill_table(self, dynamodb: Any, table: str, name: str = "registry") -> None:
        """Put the items of the table ``name`` into another."""
        for item in _read(name):
            dynamodb.put_item(TableName=table, Item=item)

    def clear_table(self, table: Table) -> None:
        """Delete the items of the registry table, and those that were added beside them."""
        for partition in {item["PK"]["S"] for item in _read("registry")}:
            for item in table.query_all(partition):
                table.delete(item["PK"], item["SK"])

    def fill_bucket(self, s3: Any, bucket: str) -> None:
        """Put the objects."""
        for entry in _read("objects"):
            s3.put_object(
                Bucket=bucket,
                Key=entry["key"],
                Body=_bytes(entry["body"]),
                ContentType=entry["type"],
                Metadata=entry["metadata"],
            )

    def fill_redis(self, port: RedisPort) -> None:
        """Set the keys, each with the life that it had left."""
        commands: list[tuple[bytes | int, ...]] = []
        for entry in _read("redis"):
            key, value = _bytes(entry["key"]), entry["value"]
            values = value if isinstance(value, list) else [value]
            commands.append((_WRITE[entry["type"]], key, *map(_bytes, values)))
            commands.append((b"PEXPIRE", key, entry["life_ms"]))
        port.flight(commands)

    def clear_redis(self, port: RedisPort) -> None:
        """Remove the keys."""
        port.flight([(b"UNLINK", _bytes(entry["key"])) for entry in _read("redis")])


def less(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """Where an answer lacks what another has, or has another value; fields that were added are well."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name, value in old.items():
            at = f"{place}.{name}" if place else name
            if name not in new:
                yield f"{at}: gone"
            else:
                yield from less(value, new[name], at)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from less(one, other, f"{place}[{number}]")
    elif old != new:
        yield f"{place}: {json.dumps(old)[:200]} is {json.dumps(new)[:200]}"


def _read(name: str) -> Any:
    return json.loads((_FOLDER / f"{name}.json").read_text())


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return base64.b64decode(value["base64"])
