"""The registry function's parts, built from settings, and what they read from a request."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from neuralstream_core.features.catalog import Catalog
from neuralstream_core.features.services import FeatureServices
from neuralstream_core.memory import function_memory
from neuralstream_core.monitoring.baseline import Adoptions, BaselineProfiler
from neuralstream_core.registry.artifacts import ArtifactStore
from neuralstream_core.registry.issuer import Issuer
from neuralstream_core.registry.lineage import LineageAnswer, graph_of, lineage_of
from neuralstream_core.registry.openlineage import RunEvents, run_events
from neuralstream_core.registry.registrar import Registrar
from neuralstream_core.registry.registry import Registry
from neuralstream_core.registry.rollout_commands import Rollouts
from neuralstream_core.settings import BucketSettings, TableSettings
from neuralstream_core.time import system_clock
from neuralstream_core.trial.process import ProcessValidator
from neuralstream_lambda.wiring import s3_client, table

if TYPE_CHECKING:
    from neuralstream_lambda.resolver import Resolver

__all__ = [
    "RegistrySettings",
    "adoptions",
    "issuer",
    "lineage_page",
    "registrar",
    "registry",
    "rollouts",
    "tag_of",
]

_ANSWER_SECONDS: Final = 1.0
"""Kept back of the invocation's time, so that giving up still answers."""


class RegistrySettings(TableSettings, BucketSettings):
    """What the registry function reads."""


@cache
def registry(settings: RegistrySettings) -> Registry:
    """Models, versions, stages and splits."""
    return Registry(table(settings), settings.namespace, system_clock)


@cache
def rollouts(settings: RegistrySettings) -> Rollouts:
    """Shadow versions, guards and ramps."""
    return Rollouts(registry(settings))


@cache
def registrar(settings: RegistrySettings) -> Registrar:
    """What registers versions: inspects, loads and runs an artifact, and keeps it."""
    artifacts = ArtifactStore(s3_client(), settings.data_bucket)
    catalog = Catalog(table(settings), settings.namespace, system_clock)
    return Registrar(
        registry(settings),
        artifacts,
        catalog,
        FeatureServices(table(settings), settings.namespace, system_clock, catalog),
        ProcessValidator(shared=function_memory(os.environ)),
        BaselineProfiler(artifacts),
    )


@cache
def adoptions(settings: RegistrySettings) -> Adoptions:
    """Versions that take their next rows as a baseline."""
    return Adoptions(table(settings), settings.namespace, system_clock)


def issuer(app: Resolver) -> Issuer:
    """Who sent the present request, under which idempotency key, and how long it may be retried.

    Raises:
        Invalid: the header ``idempotency-key`` is no such key.
    """
    key = app.idempotency_key
    return Issuer(app.caller.principal, key, lambda: app.remaining_seconds - _ANSWER_SECONDS)


def tag_of(text: str | None) -> tuple[str, str | None] | None:
    """The filter that ``key`` or ``key:value`` stands for."""
    if text is None:
        return None
    key, found, value = text.partition(":")
    return key, value if found else None


def lineage_page(
    settings: RegistrySettings,
    model: str,
    *,
    limit: int,
    token: str | None,
    events_token: str | None,
    newest_first: bool,
    runs: bool,
) -> LineageAnswer | RunEvents:
    """A page of a model's versions and one of its events.

    Args:
        limit: entries of each page.
        token: of the page of versions.
        events_token: of the page of events.
        newest_first: both pages begin with the newest.
        runs: as run events of OpenLineage.
    """
    found = registry(settings)
    versions = found.versions(model, limit=limit, token=token, newest_first=newest_first)
    events = found.events(model, limit=limit, token=events_token, newest_first=newest_first)
    tokens: dict[str, Any] = {
        "next_token": versions.next_token,
        "next_events_token": events.next_token,
    }
    if runs:
        told = run_events(settings.namespace, model, versions.records, events.records)
        return RunEvents(events=told, **tokens)
    made = [lineage_of(version) for version in versions.records]
    return LineageAnswer(
        model=model,
        versions=made,
        events=events.records,
        graph=graph_of(model, made),
        **tokens,
    )
