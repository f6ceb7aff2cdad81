"""What is registered beside an artifact: check, baseline and lineage."""

from __future__ import annotations

import hashlib
import platform
import re
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np

from neuralstream_client.log_model.answers import Answers
from neuralstream_client.log_model.parity import asked
from neuralstream_client.log_model.probes import spread
from neuralstream_client.log_model.proving import Proof, Question
from neuralstream_client.log_model.sources import Source
from neuralstream_client.log_model.table import Table

__all__ = ["baseline_of", "check_of", "code_of", "data_digest", "packages_of", "simple_params"]

_CHECK: Final = {"data": 60, "nulls": 40, "thresholds": 40, "unseen": 10, "range": 40}
_CHECK_CELLS: Final = 20_000
_BASELINE_ROWS: Final = 2000
_BASELINE_CELLS: Final = 100_000
_PACKAGES: Final = ("numpy", "scikit-learn", "skl2onnx", "onnxmltools", "onnx", "onnxruntime")
_OWN: Final = {
    "lightgbm": "lightgbm",
    "xgboost": "xgboost",
    "catboost": "catboost",
    "torch": "torch",
}
_GIT_SECONDS: Final = 5


def check_of(proof: Proof, source: Source, labels: Sequence[str]) -> dict[str, Any] | None:
    """Rows of each kind with the model's own answers, which the stored artifact must reproduce.

    Rows with another label (in a tie) and rows without a finite answer are left out; ``None`` if all are.
    """
    columns: dict[str, list[Any]] = {label: [] for label in labels}
    prediction: list[Any] = []
    numbers: list[Any] = []
    largest = 0.0
    room = max(20, min(1000, _CHECK_CELLS // len(labels)))
    for group, most in _CHECK.items():
        for question in _sampled(proof.questions, group, min(most, room)):
            room -= len(question.probe.rows)
            got = proof.served.answers(question.probe.rows, source)
            for row in _agreed(question.expected, got):
                for label, column in zip(labels, question.probe.rows.columns, strict=True):
                    columns[label].append(column.cell(row))
                want, have = question.expected.prediction[row], got.prediction[row]
                # Another writing of the same label is sent as it is served.
                prediction.append(
                    _plain(have if question.expected.prediction.dtype == object else want)
                )
                if question.expected.prediction.dtype.kind == "f":
                    largest = max(largest, _relative(want, have))
                if proof.rule.scores and question.expected.numbers is not None:
                    numbers.append(_beside(question.expected.numbers[row], source))
                    if got.numbers is not None:
                        width = min(question.expected.numbers.shape[1], got.numbers.shape[1])
                        wanted = question.expected.numbers[row][-width:]
                        largest = max(largest, _relative(wanted, got.numbers[row][-width:]))
    if not prediction:
        return None
    expected: dict[str, Any] = {"prediction": prediction}
    if numbers:
        expected["score" if source.meaning == "score" else "probability"] = numbers
    tolerance = min(1.0, max(proof.rule.tolerance, 2.0 * largest))
    return {"inputs": columns, "expected": expected, "tolerance": tolerance}


def baseline_of(table: Table, source: Source, labels: Sequence[str]) -> dict[str, Any]:
    """Values of the training data and the model's answers to them, which drift is measured against.

    Missing values are in it as often as in the data. A row that the model refuses has values and no answer,
    as when it is served.
    """
    rows = spread(len(table), min(_BASELINE_ROWS, max(200, _BASELINE_CELLS // len(labels))))
    sample = table.take(rows)
    answers, _ = asked(source, sample)
    columns = {
        label: [_rounded(column.cell(row)) for row in range(len(rows))]
        for label, column in zip(labels, sample.columns, strict=True)
    }
    baseline: dict[str, Any] = {"columns": columns}
    if answers is None:
        return baseline
    if answers.prediction.ndim == 1:
        baseline["prediction"] = [_rounded(_plain(one)) for one in answers.prediction]
    probable = source.kind == "classifier" and source.meaning in ("probability", "logits")
    if probable and answers.numbers is not None and source.classes is not None:
        chosen = answers.numbers
        place = {label: at for at, label in enumerate(source.classes)}
        at = (
            np.full(len(chosen), chosen.shape[1] - 1)
            if chosen.shape[1] <= 2
            else np.array([place[label] for label in answers.prediction])
        )
        baseline["probability"] = [float(f"{p:.6g}") for p in chosen[np.arange(len(chosen)), at]]
    return baseline


def data_digest(table: Table, y: Any) -> str:
    """SHA-256 of the training data: names, types and values of the columns in order, then of ``y``."""
    digest = hashlib.sha256()
    for column in table.columns:
        digest.update(f"{column.name}\0{column.dtype}\0".encode())
        digest.update(_bytes(column.values))
    if y is not None:
        digest.update(b"y\0")
        digest.update(_bytes(np.asarray(y)))
    return f"sha256:{digest.hexdigest()}"


def code_of(folder: Path) -> tuple[dict[str, str] | None, bool | None]:
    """Repository and commit that ``folder`` is in, and whether it has changes that are not committed.

    ``None`` where there is no git or no repository. Credentials in the repository's address are left out.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None, None
    code = {"commit": commit}
    remote = _git(folder, "remote", "get-url", "origin")
    if remote:
        code["repo"] = re.sub(r"(?<=://)[^@/]*@", "", remote)
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return code, None if changes is None else bool(changes)


def packages_of(library: str) -> dict[str, str]:
    """Versions of Python and of the packages that made the artifact."""
    found = {"python": platform.python_version()}
    for name in (*_PACKAGES, *filter(None, [_OWN.get(library)])):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def simple_params(model: Any) -> dict[str, Any]:
    """The parameters of an estimator that are numbers, text or booleans; of a pipeline, of its last step."""
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    if not hasattr(last, "get_params"):
        return {}
    params = last.get_params(deep=False) if hasattr(last, "predict") else {}
    return {
        name: value
        for name, value in params.items()
        if isinstance(value, bool | int | str) or (isinstance(value, float) and np.isfinite(value))
    }


def _sampled(questions: Sequence[Question], group: str, most: int) -> list[Question]:
    """Rows of all questions of a group, at most ``most``."""
    own = [question for question in questions if question.probe.group == group]
    sampled: list[Question] = []
    for place in spread(len(own), most) if own and most > 0 else ():
        question = own[int(place)]
        rows = spread(len(question.probe.rows), max(1, most // len(own)))
        probe = type(question.probe)(group, question.probe.rows.take(rows), question.probe.column)
        sampled.append(Question(probe, question.expected.take(rows), 0))
    return sampled


def _agreed(expected: Answers, got: Answers) -> list[int]:
    """Rows whose answers are finite, and whose labels are equal."""
    kept: list[int] = []
    for row in range(len(expected.prediction)):
        numbers = [
            value[row]
            for value in (expected.numbers, got.numbers, expected.prediction, got.prediction)
            if value is not None and value.dtype.kind == "f"
        ]
        label = expected.prediction.dtype == object
        if label and expected.prediction[row] != got.prediction[row]:
            continue
        if all(np.isfinite(value).all() for value in numbers):
            kept.append(row)
    return kept


def _beside(numbers: Any, source: Source) -> Any:
    if source.meaning == "score" and len(numbers) == 1:
        return float(numbers[0])
    if len(numbers) == 1:
        return [1.0 - float(numbers[0]), float(numbers[0])]
    return [float(number) for number in numbers]


def _relative(want: Any, have: Any) -> float:
    want, have = np.asarray(want, np.float64), np.asarray(have, np.float64)
    return float((np.abs(want - have) / np.maximum(1.0, np.abs(want))).max())


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _rounded(value: Any) -> Any:
    """Six digits of a number: enough for its bin, and half the size."""
    return float(f"{value:.6g}") if isinstance(value, float) and np.isfinite(value) else value


def _bytes(values: Any) -> bytes:
    if values.dtype.kind in "iufb":
        return bytes(np.ascontiguousarray(values, np.float64).tobytes())
    return "\0".join("" if v is None else f"={v}" for v in values.reshape(-1).tolist()).encode()


def _git(folder: Path, *args: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", *args],  # noqa: S607 - the caller's own git
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
