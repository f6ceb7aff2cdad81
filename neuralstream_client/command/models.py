"""``neuralstream models``: versions, promotion, splits and lineage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from neuralstream_client import NeuralStream
from neuralstream_client.answers import ModelAnswer, SplitAnswer, VersionAnswer
from neuralstream_client.command import rollouts
from neuralstream_client.command.outcomes import results_shown
from neuralstream_client.command.output import moment, table
from neuralstream_client.command.running import Shown, command
from neuralstream_client.command.words import named, numbers, rows_of, texts
from neuralstream_client.errors import DataError
from neuralstream_client.services import service_named

__all__ = ["app"]

app = typer.Typer(name="models", help="Models and their versions.", no_args_is_help=True)

_FORMATS: Final = {".onnx": "onnx", ".npz": "linear"}
_EXPECTED: Final = ("prediction", "probability")

Model = Annotated[str, typer.Argument()]
Reason = Annotated[str | None, typer.Option(help="Recorded in the model's events.")]
ExpectedProduction = Annotated[
    str | None, typer.Option(help="Refuse unless this version is in production.")
]


@command(app, "list")
def _list(
    ns: NeuralStream,
    tag: Annotated[
        str | None, typer.Option(help="Only those with this tag, KEY or KEY:VALUE.")
    ] = None,
    prefix: Annotated[str, typer.Option(help="Only those whose names begin with this.")] = "",
) -> Shown:
    """All models by name."""
    models = list(ns.models.list(prefix=prefix, tag=tag))
    rows = (
        [
            one.name,
            one.production_version,
            one.latest_version,
            _weights(one.ab_split),
            moment(one.updated_at),
        ]
        for one in models
    )
    columns = ("model", "production", "latest", "split", "updated")
    return Shown({"models": models}, [table(columns, rows)])


@command(app, "show")
def _show(ns: NeuralStream, model: Model) -> Shown:
    """One model and its versions, the newest first."""
    found = ns.models.get(model)
    versions = list(ns.models.versions(model))
    rows = (
        [
            one.version,
            one.stage,
            one.status,
            one.format,
            moment(one.created_at),
            one.reason or _metrics(one),
        ]
        for one in versions
    )
    columns = ("version", "stage", "status", "format", "created", "metrics")
    return Shown({"model": found, "versions": versions}, [_production(found), table(columns, rows)])


@command(app, "log")
def _log(
    ns: NeuralStream,
    model: Model,
    file: Annotated[Path, typer.Argument(help="An .onnx file, or .npz of a linear model.")],
    features: Annotated[
        str,
        typer.Option(help="In the model's order: view:feature,view@role:feature,service:name@2,…"),
    ],
    check: Annotated[
        Path | None,
        typer.Option(
            help="CSV or JSON of rows: the features' values, the expected prediction, perhaps probability."
        ),
    ] = None,
    missing: Annotated[
        Literal["error", "null", "default"], typer.Option(help="What a missing feature does.")
    ] = "error",
    metric: Annotated[list[str] | None, typer.Option(help="NAME=NUMBER; may be repeated.")] = None,
    param: Annotated[list[str] | None, typer.Option(help="NAME=VALUE; may be repeated.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="KEY=VALUE; may be repeated.")] = None,
    description: Annotated[str, typer.Option()] = "",
    promote: Annotated[bool, typer.Option("--promote", help="Put it into production.")] = False,
) -> Shown:
    """Register a model file as a new version; the stack loads it, runs it and compares the check."""
    if (kind := _FORMATS.get(file.suffix)) is None:
        raise DataError(f"{file} is neither .onnx nor .npz; convert the model first")
    names = [name.strip() for name in features.split(",") if name.strip()]
    registration: dict[str, Any] = {"format": kind, "features": names, "missing": missing}
    registration |= {"metrics": numbers(metric), "params": named(param), "tags": texts(tag)}
    registration |= {"description": description}
    if check is not None:
        registration["check"] = _check(check, _features(ns, names))
    version = ns.models.register(model, registration, file)
    parts = [f"{model} {version.version} is {version.status}"]
    if promote:
        ns.models.promote(model, version.version)
        version = ns.models.version(model, version.version)
        parts.append(f"{version.version} is in production")
    return Shown(version, parts)


@command(app, "promote")
def _promote(
    ns: NeuralStream,
    model: Model,
    version: Annotated[str, typer.Argument()],
    reason: Reason = None,
    expected_production: ExpectedProduction = None,
) -> Shown:
    """Put a version into production."""
    promoted = ns.models.promote(
        model, version, reason=reason, expected_production=expected_production
    )
    return Shown(promoted, [_production(promoted)])


@command(app, "rollback")
def _rollback(
    ns: NeuralStream,
    model: Model,
    reason: Reason = None,
    expected_production: ExpectedProduction = None,
) -> Shown:
    """Return to the former production version."""
    restored = ns.models.rollback(model, reason=reason, expected_production=expected_production)
    return Shown(restored, [_production(restored)])


@command(app, "split")
def _split(
    ns: NeuralStream,
    model: Model,
    weights: Annotated[
        list[str] | None, typer.Argument(help="VERSION=SHARE, in sum 1; none: show the split.")
    ] = None,
    end: Annotated[
        bool, typer.Option("--end", help="All traffic to the production version.")
    ] = False,
    reason: Reason = None,
) -> Shown:
    """Show, set or end how the traffic is divided over versions."""
    if end and weights:
        raise DataError("give either shares or --end")
    if end:
        answer: SplitAnswer = ns.models.end_split(model)
    elif weights:
        answer = ns.models.split(model, numbers(weights), reason=reason)
    else:
        answer = ns.models.get_split(model)
    shares = _weights(answer.split) or f"all traffic to {answer.production_version or 'no version'}"
    return Shown(answer, [f"{model}: {shares}"])


rollouts.add_to(app)


@command(app, "lineage")
def _lineage(ns: NeuralStream, model: Model) -> Shown:
    """What each version was made from, and what happened since."""
    found = ns.models.lineage(model)
    made = (
        [
            one.version,
            ", ".join(f"{use.view} schema {use.schema_version}" for use in one.feature_views),
            ", ".join(one.feature_services or ()),
            (one.code or {}).get("commit"),
            ", ".join(str(data.get("name") or data.get("uri")) for data in one.datasets),
            one.created_by,
        ]
        for one in found.versions
    )
    happened = (
        [moment(one.at), one.kind, one.version, one.actor, one.reason] for one in found.events
    )
    return Shown(
        found,
        [
            table(("version", "views", "services", "commit", "data", "by"), made),
            "",
            table(("at", "event", "version", "by", "reason"), happened),
        ],
    )


def _features(ns: NeuralStream, names: list[str]) -> list[str]:
    """The features with those of services in their place."""
    found: list[str] = []
    for name in names:
        service = service_named(name)
        found += [name] if service is None else ns.services.get(*service).features
    return found


def _check(path: Path, features: list[str]) -> dict[str, Any]:
    """What the API takes as ``check``; a JSON file may also be that object itself."""
    rows = rows_of(path)
    if isinstance(rows, dict):
        return rows
    if not rows or "prediction" not in rows[0]:
        raise DataError(f"{path} needs rows with a column prediction")
    given = [name for name in _EXPECTED if name in rows[0]]
    bare = [name.rpartition(":")[2] for name in features]
    # The name without its view is enough unless two views have it.
    names = [
        short if bare.count(short) == 1 and short in rows[0] else name
        for name, short in zip(features, bare, strict=True)
    ]
    try:
        inputs = [{name: row[name] for name in names} for row in rows]
    except KeyError as error:
        raise DataError(f"{path} has no column {error}") from error
    return {"inputs": inputs, "expected": {name: [row[name] for row in rows] for name in given}}


def _production(model: ModelAnswer) -> str:
    in_production = model.production_version or "no version"
    split = f", split {_weights(model.ab_split)}" if model.ab_split else ""
    return f"{model.name}: {in_production} in production{split}"


def _weights(split: dict[str, Any] | None) -> str:
    return ", ".join(f"{version} {weight:g}" for version, weight in (split or {}).items())


def _metrics(version: VersionAnswer) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in version.metrics.items())


@command(app, "experiment")
def _experiment(
    ns: NeuralStream,
    model: Model,
    metric: Annotated[
        str | None, typer.Option(help="accuracy, log_loss, brier, mae or rmse.")
    ] = None,
    effect: Annotated[float | None, typer.Option(help="Difference worth finding.")] = None,
) -> Shown:
    """Which version of a split is better, as far as outcomes tell, or what it takes to know."""
    return results_shown(ns.models.split_results(model, metric=metric, effect=effect))
