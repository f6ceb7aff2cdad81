"""A fitted model to an artifact, its proof and the body of its registration, without a server."""

from __future__ import annotations

import warnings as python_warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from neuralstream_client.log_model.candidates import candidates
from neuralstream_client.log_model.cures import cure_of, known_cure
from neuralstream_client.log_model.described import (
    baseline_of,
    check_of,
    code_of,
    data_digest,
    packages_of,
    simple_params,
)
from neuralstream_client.log_model.errors import ConversionError, ParityError
from neuralstream_client.log_model.files import artifact_of, is_file, source_of_file
from neuralstream_client.log_model.inputs import Mapped, aligned, mapped
from neuralstream_client.log_model.options import Options
from neuralstream_client.log_model.proving import Missing, Proof, Questions, groups, prove
from neuralstream_client.log_model.served import Served
from neuralstream_client.log_model.sources import Declared, Source, source_of
from neuralstream_client.log_model.table import read_table

__all__ = ["Prepared", "Report", "prepare"]


@dataclass(frozen=True)
class Report:
    """What was proven before the upload.

    Attributes:
        family: the model's class.
        made_by: the converter and the precision of its inputs.
        rows: rows compared, by where they come from.
        ties: rows whose label differs because the model's two best classes are equal.
        max_difference: the largest difference, as the tolerance measures it.
        failed: rows beyond it; none unless ``on_mismatch="warn"``.
        missing: what serving does with a missing value.
        reference: ``model``, or ``artifact`` if nothing but the file itself was there to compare with.
        renamed: feature → column, of the columns whose name is no feature name.
        warnings: what a person should know.
    """

    family: str
    made_by: str
    rows: dict[str, int]
    ties: int
    max_difference: float
    tolerance: float
    failed: int
    missing: Missing
    reference: Literal["model", "artifact"]
    renamed: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """What is sent to the server.

    Attributes:
        artifact: the bytes of the model.
        body: the registration without the artifact.
    """

    artifact: bytes
    body: dict[str, Any]
    report: Report


def prepare(model: Any, X: Any, y: Any = None, options: Options | None = None) -> Prepared:  # noqa: N803
    """Convert a fitted model and prove that the export is the model.

    Args:
        model: fitted, of scikit-learn, LightGBM, XGBoost, CatBoost or torch; or ONNX as bytes, a
            ``ModelProto`` or a path; or a mapping of ``coef``, ``intercept`` and ``classes``.
        X: rows of the training data: a pandas or polars frame, an array.
        y: the labels, for the digest of the data and the metrics on it.

    Raises:
        LogModelError: ``X`` does not fit the model, or its columns no features.
        ConversionError: the model has no export.
        ParityError: the export is not the model.
    """
    options = options or Options()
    table = aligned(model, read_table(X))
    columns = mapped(table, options.features, options.view, options.dtypes)
    declared = Declared(
        options.kind,
        None if options.classes is None else tuple(options.classes),
        None if options.outputs is None else tuple(options.outputs),
        options.scores,
    )
    with python_warnings.catch_warnings():
        # What the libraries say about their own deprecations is not about this model.
        python_warnings.simplefilter("ignore")
        source, proof = _proven(model, columns, declared, options)
    if proof.failed:
        error = ParityError(
            source.family,
            proof.worst,
            proof.failed,
            sum(one.rows for one in proof.found),
            cure_of(source),
        )
        if options.on_mismatch == "refuse":
            raise error
        python_warnings.warn(str(error).replace("; nothing was uploaded", ""), stacklevel=2)
    report = Report(
        family=source.family,
        made_by=proof.served.artifact.made_by,
        rows=groups(proof.found),
        ties=sum(one.ties for one in proof.found),
        max_difference=max(one.largest for one in proof.found),
        tolerance=options.tolerance,
        failed=proof.failed,
        missing=proof.missing,
        reference="model" if source.own else "artifact",
        renamed=columns.renamed,
        warnings=proof.warnings,
    )
    artifact = proof.served.artifact
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")
        body = _body(source, columns, proof, y, options)
    return Prepared(artifact.data, {"format": artifact.format, **body}, report)


def _proven(
    model: Any, columns: Mapped, declared: Declared, options: Options
) -> tuple[Source, Proof]:
    """The first form of the model that is equal to it; else the one with the fewest other answers."""
    if is_file(model):
        artifact = artifact_of(model)
        served = Served(artifact, columns.labels, columns.table)
        source = source_of_file(artifact, options.reference, declared, served)
        questions = Questions(source, columns.table)
        return source, prove(served, source, questions, options.tolerance, options.missing)
    source = source_of(model, declared)
    questions = Questions(source, columns.table)
    best: Proof | None = None
    first: ConversionError | None = None
    for build in candidates(source, columns.table, columns.labels, options.format):
        try:
            artifact = build()
            served = Served(artifact, columns.labels, columns.table)
            proof = prove(served, source, questions, options.tolerance, options.missing)
        except ConversionError as error:
            first = first or error
            continue
        if best is None or proof.failed < best.failed:
            best = proof
        if not proof.failed:
            break
    if best is None:
        cure = known_cure(source)
        why = first or ConversionError(f"{source.family} has no export")
        raise ConversionError(f"{why}; {cure}") if cure else why
    return source, best


def _body(
    source: Source, columns: Mapped, proof: Proof, y: Any, options: Options
) -> dict[str, Any]:
    table = columns.table
    code, changed = code_of(Path.cwd())
    lineage: dict[str, Any] = {
        "dataset": {"name": options.dataset, "digest": data_digest(table, y)},
        "packages": packages_of(source.library),
    }
    if code is not None:
        lineage |= {"code": code, "uncommitted_changes": changed}
    if options.training_set is not None:
        lineage["training_set"] = options.training_set
    params: dict[str, Any] = {} if source.model is None else simple_params(source.model)
    if columns.renamed:
        params["columns"] = columns.renamed
    body: dict[str, Any] = {
        "features": columns.listed_as(options.listed),
        "missing": proof.missing,
        "metrics": dict(
            _metrics(source, columns, y) if options.metrics is None else options.metrics
        ),
        "params": params | dict(options.params or {}),
        "lineage": lineage | dict(options.lineage or {}),
        "baseline": baseline_of(table, source, columns.labels),
        "description": options.description,
        "tags": dict(options.tags or {}),
        **source.body,
    }
    check = check_of(proof, source, columns.labels)
    if check is not None:
        body["check"] = check
    return body


def _metrics(source: Source, columns: Mapped, y: Any) -> dict[str, float]:
    """How well the model fits the rows it was given: accuracy of a classifier, error of a regressor."""
    if y is None or source.kind not in ("classifier", "regressor"):
        return {}
    wanted = np.asarray(y)
    rows = columns.table
    if len(wanted) != len(rows):
        return {}
    try:
        answers = source.answer(rows.source() if source.own else rows)
    except Exception:  # noqa: BLE001 - a row that the model does not take; metrics are not worth failing for
        return {}
    if source.kind == "classifier":
        hits = [
            one == other for one, other in zip(answers.prediction, wanted.reshape(-1), strict=True)
        ]
        return {"train_accuracy": float(np.mean(hits))}
    error = answers.prediction - wanted.reshape(answers.prediction.shape)
    return {"train_rmse": float(np.sqrt(np.mean(error**2)))}
