"""``neuralstream predict``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from neuralstream_client import NeuralStream
from neuralstream_client.command.output import bar, number, table
from neuralstream_client.command.running import FAILED, Shown, command
from neuralstream_client.command.words import named
from neuralstream_client.errors import DataError

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "predict")(_predict)


def _predict(
    ns: NeuralStream,
    model: Annotated[str, typer.Argument()],
    entity_ids: Annotated[
        list[str] | None, typer.Argument(help="None if --feature has every input.")
    ] = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(
            "--feature", "-f", help="NAME=VALUE instead of the stored value; for one entity."
        ),
    ] = None,
    entity: Annotated[
        list[str] | None, typer.Option(help="KEY=ID of a further entity; for one entity.")
    ] = None,
    feature_view: Annotated[str | None, typer.Option(help="The view of the entity ids.")] = None,
    version: Annotated[str | None, typer.Option(help="Pins a version.")] = None,
) -> Shown:
    """Predict for one or several entities; exit with 1 if one has no prediction."""
    ids = entity_ids or []
    rows: list[dict[str, Any]]
    if len(ids) > 1:
        if feature or entity:
            raise DataError("--feature and --entity are for one entity")
        with bar(f"predicting {model}") as progress:
            predicted = ns.predict_many(
                model, ids, feature_view=feature_view, version=version, progress=progress
            )
        rows = predicted.rows
        for failure in predicted.failures:
            rows[failure.row]["error"] = {"code": failure.code, "detail": failure.detail}
    else:
        answer = ns.predict(
            model,
            ids[0] if ids else None,
            features=named(feature) or None,
            entities=named(entity) or None,
            feature_view=feature_view,
            version=version,
        )
        rows = [answer.model_dump(mode="json", exclude={"timestamp"})]
    failed = any(row.get("error") for row in rows)
    cells = (
        [
            row.get("entity_id"),
            row["error"]["detail"] if row.get("error") else row.get("prediction"),
            number(row.get("probability")),
            row.get("version"),
        ]
        for row in rows
    )
    columns = ("entity", "prediction", "probability", "version")
    return Shown(
        {"model": model, "predictions": rows},
        [table(columns, cells, right=("probability",))],
        FAILED if failed else 0,
    )
