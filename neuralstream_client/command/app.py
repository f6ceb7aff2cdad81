"""All commands under one name."""

from __future__ import annotations

import typer

from neuralstream_client.command import (
    jobs,
    keys,
    models,
    outcomes,
    predictions,
    reports,
    schedules,
    services,
    smoke,
    training,
    up,
    views,
)

__all__ = ["app"]

app = typer.Typer(
    name="neuralstream",
    help="Feature views, models, predictions, drift, jobs and API keys of a stack.",
    epilog="Exit status: 0 done, 1 refused or failed, 2 usage or a difference, 3 no answer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
up.add_to(app)
app.add_typer(views.app)
app.add_typer(models.app)
predictions.add_to(app)
reports.add_to(app)
outcomes.add_to(app)
app.add_typer(jobs.app)
app.add_typer(schedules.app)
app.add_typer(services.app)
app.add_typer(training.app)
app.add_typer(keys.app)
smoke.add_to(app)
