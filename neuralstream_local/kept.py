"""What the AWS emulation must still know after its process was killed: items, objects and schedules.

moto keeps everything in memory. After each call that changes an item, an object or a schedule, what it left
there is appended to a file, before the caller has its answer; a new process reads the last state of each and
puts it back. The file is not forced to the disk: it outlives the process, not the machine.

Not kept: messages in queues and running executions. A job that was running is started again from its record.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote

import xmltodict

if TYPE_CHECKING:
    from werkzeug import Request

__all__ = ["CHANGES", "Kept"]

_TABLE_CALLS: Final = frozenset(
    {"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"}
)
CHANGES: Final = frozenset({"PUT", "POST", "DELETE"})
"""Methods of the requests that `Kept.note` must see."""
_CHECKPOINTS: Final = "neuralstream-local-checkpoints"
"""The bucket of the positions in streams, which start anew with the process."""
_LOOPBACK: Final = ("127.0.0.1", "localhost")

Attributes = Mapping[str, Any]
Where = tuple[str, ...]
"""``("item", table, key as JSON)``, ``("object", bucket, key)`` or ``("schedule", group, path)``."""


class _Stored(NamedTuple):
    """An object; its bytes are in the file called ``digest``."""

    digest: str
    content_type: str
    metadata: dict[str, str]


class Kept:
    """A folder with the last state of the emulation.

    Args:
        folder: made if it is not there.
        account: moto's account.
        region: of the tables.
    """

    def __init__(self, folder: Path, account: str, region: str) -> None:
        self._account, self._region = account, region
        self._objects = folder / "objects"
        self._objects.mkdir(parents=True, exist_ok=True)
        self._path = folder / "aws.jsonl"
        self._lock = threading.Lock()
        self._restored = False
        """Before that only the template's own tables, buckets and schedules are made."""
        self._file = self._path.open("a", encoding="utf-8")

    def note(self, request: Request, body: bytes, status: int) -> None:
        """Keep what a request that was answered with ``status`` has left behind."""
        if status >= 300 or not self._restored:
            return
        target = request.headers.get("x-amz-target", "")
        if target.startswith("DynamoDB_"):
            call = target.partition(".")[2]
            if call in _TABLE_CALLS:
                self._append(map(self._item, _touched(call, json.loads(body))))
        else:
            service = _service(request)
            if service == "s3":
                self._append(self._object(bucket, key) for bucket, key in _places(request, body))
            elif service == "scheduler" and request.path.startswith("/schedules/"):
                text = None if request.method == "DELETE" else body.decode()
                group = request.args.get("groupName") if text is None else _group(text)
                self._append([(("schedule", group or "default", _path(request)), lambda: text)])

    def restore(self, schedule: Callable[[str, bytes], None]) -> bool:
        """Put the last state into the emulation, whose tables and buckets are there; whether there was one.

        Args:
            schedule: creates a schedule of a path and a body; one that is there already stays.
        """
        state: dict[Where, Any] = {}
        with self._path.open(encoding="utf-8") as lines:
            for line in lines:
                if not line.endswith("\n"):
                    break  # the process ended while it wrote: the caller had no answer
                *where, left = json.loads(line)
                state[tuple(where)] = left
        now = time.time()
        state = {where: left for where, left in state.items() if not _gone(where, left, now)}
        for where, left in state.items():
            match where:
                case ("item", table, _):
                    self._tables().put_item(table, left, overwrite=True)
                case ("object", bucket, key):
                    self._put_object(bucket, key, _Stored(*left))
                case ("schedule", _, path):
                    schedule(path, left.encode())
        self._rewrite(state)
        self._restored = True
        return bool(state)

    def _rewrite(self, state: Mapping[Where, Any]) -> None:
        """A file with only the last state in place of the one with every change."""
        fresh = self._path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as file:
            file.writelines(_line(where, left) for where, left in state.items())
        fresh.replace(self._path)
        self._file.close()
        self._file = self._path.open("a", encoding="utf-8")
        wanted = {left[0] for where, left in state.items() if where[0] == "object"}
        for path in self._objects.iterdir():
            if path.name not in wanted:
                path.unlink()

    def _append(self, changed: Iterable[tuple[Where, Callable[[], Any]]]) -> None:
        """Read and write down under one lock: of two changes of a thing the later one is the last line."""
        with self._lock:
            self._file.writelines(_line(where, read()) for where, read in changed)
            self._file.flush()

    def _item(self, touched: tuple[str, Attributes]) -> tuple[Where, Callable[[], Any]]:
        name, given = touched
        table = self._tables().get_table(name)
        names = [table.hash_key_attr, *filter(None, [table.range_key_attr])]
        key = {attribute: given[attribute] for attribute in names}

        def read() -> Any:
            from moto.dynamodb.models.utilities import DynamoJsonEncoder

            found = self._tables().get_item(name, key)
            if found is None:
                return None
            return json.loads(json.dumps(found.to_json()["Attributes"], cls=DynamoJsonEncoder))

        return ("item", name, json.dumps(key, sort_keys=True)), read

    def _object(self, bucket: str, key: str) -> tuple[Where, Callable[[], Any]]:
        def read() -> Any:
            found = self._bucket().get_object(bucket, key)
            if found is None:
                return None
            content: bytes = found.value
            digest = sha256(content).hexdigest()
            path = self._objects / digest
            if not path.exists():
                part = path.with_suffix(".part")
                part.write_bytes(content)
                part.replace(path)
            headers = {name.lower(): str(value) for name, value in found.metadata.items()}
            return _Stored(digest, headers.pop("content-type", ""), headers)

        return ("object", bucket, key), read

    def _put_object(self, bucket: str, key: str, stored: _Stored) -> None:
        content = (self._objects / stored.digest).read_bytes()
        found = self._bucket().put_object(bucket, key, content)
        found.set_metadata({**stored.metadata, "Content-Type": stored.content_type})

    def _tables(self) -> Any:
        from moto.dynamodb.models import dynamodb_backends

        return dynamodb_backends[self._account][self._region]

    def _bucket(self) -> Any:
        from moto.s3.models import s3_backends

        return s3_backends[self._account]["aws"]


def _group(body: str) -> str | None:
    found: str | None = json.loads(body).get("GroupName")
    return found


def _gone(where: Where, left: Any, now: float) -> bool:
    """Whether a thing was deleted, or is an item whose time to live is over."""
    if left is None:
        return True
    expires = left.get("expires_at", {}).get("N") if where[0] == "item" else None
    return expires is not None and float(expires) < now


def _line(where: Where, left: Any) -> str:
    return json.dumps([*where, left], separators=(",", ":")) + "\n"


def _touched(call: str, body: Mapping[str, Any]) -> Iterator[tuple[str, Attributes]]:
    """The table of every item that a call may have changed, and attributes that hold its key."""
    if call == "BatchWriteItem":
        for table, requests in body["RequestItems"].items():
            for request in requests:
                (change,) = request.values()
                yield table, change.get("Item") or change["Key"]
    elif call == "TransactWriteItems":
        for action in body["TransactItems"]:
            ((kind, change),) = action.items()
            if kind != "ConditionCheck":
                yield change["TableName"], change.get("Item") or change["Key"]
    else:
        yield body["TableName"], body.get("Item") or body["Key"]


def _service(request: Request) -> str:
    """The service a request is signed for, by header or in a presigned address."""
    signed = request.headers.get("authorization") or request.args.get("X-Amz-Credential") or ""
    for part in signed.split("/"):
        if part in {"s3", "scheduler"}:
            return part
    return ""


def _places(request: Request, body: bytes) -> Iterator[tuple[str, str]]:
    """Bucket and key of each object that an S3 request may have changed."""
    host = request.host.partition(":")[0]
    path = unquote(_path(request)).lstrip("/")
    bucket, _, key = (
        path.partition("/") if host in _LOOPBACK else (host.partition(".")[0], "/", path)
    )
    if bucket == _CHECKPOINTS:
        return
    if key:
        yield bucket, key
    elif "delete" in request.args:
        named = xmltodict.parse(body, force_list=("Object",))["Delete"]["Object"]
        yield from ((bucket, each["Key"]) for each in named)


def _path(request: Request) -> str:
    raw: str = request.environ.get("RAW_URI") or request.environ.get("REQUEST_URI") or request.path
    return raw.partition("?")[0]
