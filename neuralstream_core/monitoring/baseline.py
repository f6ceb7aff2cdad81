"""Where a version's baseline comes from: the request, a file in the data bucket, or rows it serves.

A reference ``s3://{data bucket}/…`` is a ``.json`` file with the same fields as the request's ``baseline``,
or a table as ``.csv`` or ``.jsonl``, each optionally gzipped. A table's columns are features
(``view:feature``, ``view@role:feature`` or the bare name), ``prediction`` and ``probability``; others are
ignored.

Counters over fixed bins cannot tell where the bins should lie, so rows that are served must be kept for a
while to become a baseline. The steps of that *adoption*, each of which can be repeated:

1. Someone asks for it: an item in the table (the registry's function has no way to Redis),
   ``PK = DRIFT#{namespace}#{model}``, ``SK = ADOPT#{version}``.
2. The scheduled evaluation opens a capture: a list in Redis with a marker as its first element.
3. Every recorder looks once a minute whether the list of its version exists, and while it does appends
   its rows (``RPUSHX``: nothing is stored once the list is gone).
4. When enough rows are there, evaluation makes the profile, stores it, names it in the registry and
   deletes the list. Values are thus in Redis only for that long, and never longer than a week.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from neuralstream_core.errors import (
    ConditionFailed,
    Conflict,
    Invalid,
    NotFound,
    TooLarge,
    Unavailable,
)
from neuralstream_core.monitoring.binning import build_profile
from neuralstream_core.monitoring.layout import capture_key
from neuralstream_core.time import Clock, iso

if TYPE_CHECKING:
    from neuralstream_core.redis.port import RedisPort
    from neuralstream_core.registry.artifacts import ArtifactStore
    from neuralstream_core.registry.records import FeatureRef, Signature, VersionRecord
    from neuralstream_core.registry.registration import Baseline
    from neuralstream_core.registry.registry import Registry
    from neuralstream_core.table import Item, Table

__all__ = ["MAX_REFERENCE", "Adoptions", "BaselineProfiler", "alarm_key"]

MAX_REFERENCE: Final = 64 * 1024 * 1024
"""Bytes a referenced file may have, unpacked."""
_MIN_ROWS: Final = 200
_MAX_ROWS: Final = 10_000
"""Rows that can be adopted."""
_WEEK: Final = 7 * 86400
_PREFIX: Final = "ADOPT#"
_CODE: Final = "invalid_baseline"
_EXTRA: Final = ("prediction", "probability")


def alarm_key(namespace: str, model: str) -> str:
    """Partition key of a model's alarms and adoptions."""
    return f"DRIFT#{namespace}#{model}"


class BaselineProfiler:
    """The registrar's `Profiler`."""

    def __init__(self, artifacts: ArtifactStore) -> None:
        self._artifacts = artifacts

    def fetched(self, baseline: Baseline, features: Sequence[FeatureRef], /) -> Baseline:
        """The baseline with the values of its reference in place of it.

        Raises:
            Invalid: it is for a version that serves already, or the reference cannot be read.
        """
        if baseline.production_rows is not None:
            raise Invalid.at(
                "baseline.production_rows",
                "is for POST …/baseline, once the version serves",
                code=_CODE,
            )
        if baseline.reference is None:
            return baseline
        bucket, _, key = baseline.reference.removeprefix("s3://").partition("/")
        if bucket != self._artifacts.bucket:
            raise _bad(f"must be in the data bucket, s3://{self._artifacts.bucket}/…")
        data = self._artifacts.read(key, _bad("there is no such object"))
        if key.endswith(".gz"):
            data, key = _unpacked(data), key.removesuffix(".gz")
        if len(data) > MAX_REFERENCE:
            raise TooLarge(f"a baseline file may have at most {MAX_REFERENCE} bytes, unpacked")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise _bad("is not UTF-8 text") from None
        match key.rpartition(".")[2].lower():
            case "json":
                return _from_json(text)
            case "jsonl" | "ndjson":
                return _from_rows(_json_lines(text), features)
            case "csv":
                return _from_rows(_csv_rows(text, features), features)
        raise _bad("must end in .json, .jsonl or .csv, with or without .gz")

    def profile(
        self, baseline: Baseline, features: Sequence[FeatureRef], signature: Signature, /
    ) -> bytes:
        """The profile as canonical JSON.

        Raises:
            Invalid: the baseline does not fit the features, or the reference cannot be read.
        """
        baseline = self.fetched(baseline, features)
        return build_profile(
            features,
            baseline.columns or {},
            prediction=baseline.prediction,
            score=baseline.probability,
            classes=signature.classes,
        ).to_json()


class Adoptions:
    """Requests to adopt a baseline, and their progress.

    Raises (every method):
        Unavailable: the table, Redis or S3 cannot be reached.
    """

    def __init__(self, table: Table, namespace: str, clock: Clock) -> None:
        self._table = table
        self._namespace = namespace
        self._clock = clock

    def request(self, version: VersionRecord, rows: int, actor: str) -> None:
        """Ask that the next ``rows`` production rows become the baseline of ``version``.

        Asking again while it is under way changes nothing.

        Raises:
            Invalid: too few or too many rows.
            Conflict: the version has a baseline.
        """
        if not _MIN_ROWS <= rows <= _MAX_ROWS:
            raise Invalid.at("production_rows", f"must be {_MIN_ROWS} to {_MAX_ROWS}")
        if version.profile is not None:
            raise Conflict(
                f"{version.model} {version.version} has a baseline", code="baseline_exists"
            )
        item: Item = {
            "PK": alarm_key(self._namespace, version.model),
            "SK": _PREFIX + version.version,
            "rows": rows,
            "actor": actor,
            "requested_at": iso(self._clock()),
        }
        with suppress(ConditionFailed):
            self._table.put(item, condition="attribute_not_exists(PK)")

    def pending(self, model: str) -> dict[str, Item]:
        """Adoptions under way, by version."""
        items = self._table.query_all(alarm_key(self._namespace, model), prefix=_PREFIX)
        return {item["SK"].removeprefix(_PREFIX): item for item in items}

    def run(
        self,
        models: Iterable[str],
        port: RedisPort,
        registry: Registry,
        store: Callable[[bytes], str],
    ) -> dict[str, int]:
        """Open captures and finish those that are full.

        Args:
            store: keeps a profile's bytes and returns their digest.
        """
        opened = adopted = 0
        for model in models:
            for version, item in self.pending(model).items():
                record = None
                with suppress(NotFound):
                    record = registry.version(model, version)
                if record is None or record.profile is not None:
                    self._close(model, version, port)
                    continue
                captured = self._captured(model, version, item["rows"], port)
                if captured is None:
                    opened += 1
                elif len(captured) >= item["rows"]:
                    self._adopt(record, captured, item["actor"], registry, store)
                    self._close(model, version, port)
                    adopted += 1
        return {"captures_opened": opened, "baselines_adopted": adopted}

    def _captured(
        self, model: str, version: str, rows: int, port: RedisPort
    ) -> Sequence[bytes] | None:
        """The rows so far; ``None`` when the capture has only now been opened."""
        key = capture_key(self._namespace, model, version)
        (found,) = port.flight([(b"LRANGE", key, 0, rows)])
        if not isinstance(found, list):
            raise Unavailable(f"the cache refused to read a capture: {found!r}", dependency="redis")
        if not found:
            port.flight([(b"RPUSH", key, b"open"), (b"EXPIRE", key, _WEEK)])
            return None
        return [row for row in found[1:] if isinstance(row, bytes)]

    @staticmethod
    def _adopt(
        version: VersionRecord,
        captured: Sequence[bytes],
        actor: str,
        registry: Registry,
        store: Callable[[bytes], str],
    ) -> None:
        from neuralstream_core.registry.issuer import Issuer

        rows: list[list[Any]] = [json.loads(row) for row in captured]
        columns = {
            ref.label: [row[place] for row in rows] for place, ref in enumerate(version.features)
        }
        scores = [row[-1] for row in rows]
        profile = build_profile(
            version.features,
            columns,
            prediction=[row[-2] for row in rows],
            score=scores if any(score is not None for score in scores) else None,
            classes=version.signature.classes if version.signature is not None else None,
        )
        digest = store(profile.to_json())
        by = Issuer(actor, f"adopt-{version.version}-{digest}")
        registry.set_profile(version.model, version.version, digest, by)

    def _close(self, model: str, version: str, port: RedisPort) -> None:
        port.flight([(b"DEL", capture_key(self._namespace, model, version))])
        self._table.delete(alarm_key(self._namespace, model), _PREFIX + version)


# -- files -----------------------------------------------------------------------------------------


def _from_json(text: str) -> Baseline:
    from neuralstream_core.registry.registration import Baseline

    try:
        found = Baseline.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _bad(f"{place or 'the file'}: {first['msg']}") from None
    if found.reference is not None:
        raise _bad("the file refers to another file")
    return found


def _from_rows(rows: Iterable[Mapping[str, Any]], features: Sequence[FeatureRef]) -> Baseline:
    from neuralstream_core.registry.registration import Baseline

    wanted = {*(ref.label for ref in features), *(ref.feature for ref in features), *_EXTRA}
    columns: dict[str, list[Any]] = {}
    count = 0
    for count, row in enumerate(rows, 1):
        for name in row.keys() & wanted:
            column = columns.setdefault(name, [])
            column.extend([None] * (count - 1 - len(column)))
            column.append(row[name])
    for column in columns.values():
        column.extend([None] * (count - len(column)))
    prediction, probability = (columns.pop(name, None) for name in _EXTRA)
    if not columns:
        raise _bad("the file has no column of this version's features")
    return Baseline(columns=dict(columns), prediction=prediction, probability=probability)


def _json_lines(text: str) -> Iterable[Mapping[str, Any]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise _bad(f"line {number} is not a JSON object")
        yield row


def _csv_rows(text: str, features: Sequence[FeatureRef]) -> Iterable[Mapping[str, Any]]:
    read: dict[str, Callable[[str], Any]] = {}
    for ref in features:
        reader = _READERS.get(ref.dtype, _number) if ref.size == 1 else _json_cell
        read[ref.label] = read[ref.feature] = reader
    lines = csv.DictReader(io.StringIO(text, newline=""))
    try:
        for row in lines:
            yield {
                name: read.get(name, _number)(cell) if cell else None
                for name, cell in row.items()
                if name is not None and isinstance(cell, str | None)
            }
    except csv.Error as error:
        raise _bad(f"line {lines.line_num} is not CSV ({error})") from None


def _number(cell: str) -> Any:
    """A number, or the text itself, which the profile then counts as invalid."""
    try:
        return int(cell) if cell.isdecimal() else float(cell)
    except ValueError:
        return cell


def _truth(cell: str) -> Any:
    return {"true": True, "false": False, "1": True, "0": False}.get(cell.strip().lower(), cell)


def _json_cell(cell: str) -> Any:
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {"bool": _truth, "string": str}


def _unpacked(data: bytes) -> bytes:
    """Gunzipped, but never more than one byte over `MAX_REFERENCE`."""
    try:
        with gzip.open(io.BytesIO(data)) as file:
            return file.read(MAX_REFERENCE + 1)
    except (OSError, EOFError, zlib.error):
        raise _bad("is not a gzip file") from None


def _bad(message: str) -> Invalid:
    return Invalid.at("baseline.reference", message, code=_CODE)
