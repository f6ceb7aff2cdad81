"""Baselines to monitoring profiles: values in the request, or a file in the data bucket.

A reference ``s3://{data bucket}/…`` is a ``.json`` file with the same fields as the request's ``baseline``,
or a table as ``.csv`` or ``.jsonl``, each optionally gzipped. A table's columns are features
(``view:feature`` or the bare name), ``prediction`` and ``probability``; others are ignored.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from neuralstream_core.errors import Invalid, TooLarge
from neuralstream_core.registry.artifacts import ArtifactStore
from neuralstream_core.registry.records import FeatureRef, Signature
from neuralstream_core.registry.registration import Baseline

__all__ = ["MAX_REFERENCE", "BaselineProfiler"]

MAX_REFERENCE: Final = 64 * 1024 * 1024
"""Bytes a referenced file may have, unpacked."""

_CODE: Final = "invalid_baseline"
_EXTRA: Final = ("prediction", "probability")


class BaselineProfiler:
    """A `Profiler` that makes `neuralstream_core.monitoring` profiles."""

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
        return self._fetched(baseline.reference, features)

    def profile(
        self, baseline: Baseline, features: Sequence[FeatureRef], signature: Signature, /
    ) -> bytes:
        """The profile as canonical JSON.

        Raises:
            Invalid: the baseline does not fit the features, or the reference cannot be read.
        """
        from neuralstream_core.monitoring.binning import build_profile

        baseline = self.fetched(baseline, features)
        return build_profile(
            features,
            baseline.columns or {},
            prediction=baseline.prediction,
            score=baseline.probability,
            classes=signature.classes,
        ).to_json()

    def _fetched(self, reference: str, features: Sequence[FeatureRef]) -> Baseline:
        bucket, _, key = reference.removeprefix("s3://").partition("/")
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


def _from_json(text: str) -> Baseline:
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
