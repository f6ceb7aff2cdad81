"""From an entity to an answer: choose the version, read, bind, infer, count.

`Engine.predict` answers one row with two round trips to Redis (features, observation) and
`Engine.predict_columns` many rows with the same two: one flight reads the rows of every version and
view, one inference call per version answers them. A row that cannot be answered gets an error of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from neuralstream_core.errors import NeuralStreamError
from neuralstream_core.features.rows import Entity
from neuralstream_core.monitoring.observation import Recorder, Refused
from neuralstream_core.outcomes.ids import PredictionId, random_ulid
from neuralstream_core.registry.records import VersionRecord
from neuralstream_core.runtimes import Predictions
from neuralstream_core.serving.cells import RowError, fill_columns, filled, override_columns
from neuralstream_core.serving.deployments import Deployment, Deployments
from neuralstream_core.serving.entities import Identities, identify, identify_rows
from neuralstream_core.serving.grouping import grouped
from neuralstream_core.serving.inference import Deadline, check_values, infer_group
from neuralstream_core.serving.logged import log_group, log_prediction, log_tensors
from neuralstream_core.serving.models import Models
from neuralstream_core.serving.observed import (
    Flags,
    answered_rows,
    observe,
    observe_group,
    observe_tensors,
    refused_before,
    refused_row,
)
from neuralstream_core.serving.predictions import (
    Prediction,
    PredictionColumns,
    RowIds,
    join_groups,
)
from neuralstream_core.serving.reads import RowRequest, read_columns, read_row
from neuralstream_core.serving.servable import Servable
from neuralstream_core.serving.shadowing import Shadow, Shadows
from neuralstream_core.time import Clock

if TYPE_CHECKING:
    from neuralstream_core.features.store import OnlineStore

__all__ = ["Engine", "Inferred"]


class Inferred(NamedTuple):
    """The answer to the caller's own tensors.

    Attributes:
        id: of the prediction; of several rows, what the ids of the rows begin with.
    """

    servable: Servable
    predictions: Predictions
    id: str


class Engine:
    """Serves the models of one namespace.

    Args:
        deployments: model → its versions that serve.
        models: version → loaded servable.
        store: the online store.
        recorder: monitoring.
        clock: now, in microseconds.
        shadows: ``None`` where no version is to see the traffic without answering.
    """

    def __init__(
        self,
        deployments: Deployments,
        models: Models,
        store: OnlineStore,
        recorder: Recorder,
        clock: Clock,
        shadows: Shadows | None = None,
    ) -> None:
        self.deployments = deployments
        self.models = models
        self._store = store
        self._recorder = recorder
        self._clock = clock
        self._shadows = shadows
        self._cold = True

    def predict(
        self,
        model: str,
        entity_id: Any,
        *,
        feature_view: str | None = None,
        entities: Mapping[str, str] | None = None,
        features: Mapping[str, Any] | None = None,
        version: str | None = None,
        started: float | None = None,
        accept: Callable[[Servable, Predictions], object] | None = None,
    ) -> Prediction:
        """Predict for one entity.

        Args:
            entity_id: a string; a list or an object for a composite entity, an object by role for a model
                with roles; ``None`` if ``features`` (or ``entities``) hold all that the model needs. The
                version is then the one that `choose` gives for a request without an entity, unless
                ``entities`` gives every role of a model that has no other views.
            feature_view: the view ``entity_id`` belongs to and in which unqualified names resolve.
            entities: further ids by entity key or role, for models that read several views.
            features: values that override the store or that only a request can give.
            version: pinned by the caller; otherwise the entity's own bucket decides.
            started: ``perf_counter()`` when the request arrived, for the total time.
            accept: refuses an answer that the caller cannot give; raises `Invalid` or `TooLarge`.

        Raises:
            NotFound: no such model, version or view.
            Conflict: nothing is in production, or the pinned version is not READY.
            Invalid: a wrong entity or override; ``missing_features`` names each missing cell that the
                version's policy does not fill.
            Unavailable: a dependency is down and no last known state can stand in.
        """
        begin = perf_counter() if started is None else started
        deployment = self.deployments.get(model)
        given = features or {}
        chosen: VersionRecord | None = None
        servable: Servable | None = None
        cells: tuple[list[Any], list[int], bool] | None = None
        shadow: Shadow | None = None
        try:
            if version is not None:
                chosen = self.choose(deployment, version)
            entity, entities, roles = identify(
                entity_id, entities, feature_view, chosen or deployment.any_version, self._keys
            )
            if chosen is None:
                chosen = self.choose(deployment, None, entity)
            servable = self.models.get(chosen)
            reading = perf_counter()
            binding = servable.bound
            request = RowRequest(entity, feature_view, entities, given)
            if (shadow := self._shadow(deployment, version)) is not None:
                shadow = shadow.plan(self._store, request, servable)
            values, status, degraded = cells = read_row(self._store, servable, request, shadow)
            read = perf_counter()
            missing = any(status)
            if missing:
                values = filled(servable, values, status)
            predictions = servable.reader.run(servable.runtime, binding.row(values), 1)
            inferred = perf_counter()
            answer = servable.reader.one(predictions)
            if accept is not None:
                accept(servable, predictions)
        except NeuralStreamError as error:
            refused: Refused | None = None
            if servable is not None and cells is None:
                refused = refused_before(servable, given, feature_view)
            elif servable is not None and cells is not None and not cells[2]:
                refused = refused_row(servable, cells[0], cells[1])
            self._failed(model, chosen, error, refused=refused)
            raise
        now = self._clock()
        prediction = Prediction(
            servable,
            entity,
            answer,
            values,
            status if missing else None,
            predictions,
            (perf_counter() - begin, read - reading, inferred - read),
            now,
            random_ulid(now) if shadow is None else shadow.unique,
            degraded,
            roles,
        )
        if not degraded:
            log = log_prediction(prediction, deployment.model.log)
            seen = observe(prediction, self._flags(deployment, version), log)
            if shadow is not None:
                seen.shadow = shadow.row(prediction)
            self._recorder.record(seen)
        return prediction

    def entities(
        self,
        model: str,
        raw: list[Any],
        feature_view: str | None = None,
        version: str | None = None,
        *,
        keys: Mapping[str, Sequence[str]] | None = None,
    ) -> Identities:
        """``entity_ids`` and ``entities`` of a request in the canonical form that `predict_columns` takes.

        Raises:
            NotFound: no such model, version or view.
            Conflict: nothing is in production, or the pinned version is not READY.
            Invalid: names every entity that does not fit.
        """
        deployment = self.deployments.get(model)
        chosen: VersionRecord | None = None
        try:
            if version is not None:
                chosen = self.choose(deployment, version)
            any_version = chosen or deployment.any_version
            return identify_rows(raw, keys, feature_view, any_version, self._keys)
        except NeuralStreamError as error:
            self._failed(model, chosen, error, rows=len(raw))
            raise

    def predict_columns(
        self,
        model: str,
        entities: Sequence[Entity],
        *,
        keys: Mapping[str, Sequence[str]] | None = None,
        overrides: Mapping[str, Sequence[Any] | np.ndarray] | None = None,
        feature_view: str | None = None,
        version: str | None = None,
        ids: RowIds | None = None,
        job: bool = False,
        started: float | None = None,
    ) -> PredictionColumns:
        """Predict for ``n`` entities.

        Args:
            entities: ``n`` canonical entities, as `entities` gives them.
            keys: further ids by entity key or role, ``n`` each.
            overrides: values that override the store or that only the caller can give, by input name,
                ``n`` values each; ``None`` (NaN in a float array) is a missing one.
            version: pinned; otherwise each entity's own bucket decides.
            ids: of the rows; new ones of this moment, numbered from 0, if not given.
            job: part of a batch job, whose duration is no latency.

        Raises:
            NotFound, Conflict, Unavailable: as for one prediction; nothing was answered.
            Invalid: an override is not an input of the model.
            TooLarge: no answer can hold so many values.
        """
        begin = perf_counter() if started is None else started
        given = overrides or {}
        deployment = self.deployments.get(model)
        failing = version or deployment.only_version
        limits = self.models.limits
        errors: dict[int, RowError] = {}
        try:
            groups, versions, index = grouped(
                self.models, self.deployments, deployment, version, entities
            )
            for group in groups:
                failing = group.servable.version.version
                group.columns, group.status = override_columns(
                    group.servable, group.rows, given, feature_view, errors
                )
            shadow = None if job else self._shadow(deployment, version, len(entities))
            if shadow is not None:
                shadow.plan_rows(given, feature_view)
            reading = perf_counter()
            degraded = read_columns(
                self._store, groups, entities, keys, given, feature_view, shadow
            )
            read = perf_counter()
            deadline = Deadline.begin(limits.job if job else limits.rows)
            for group in groups:
                failing = group.servable.version.version
                group.good = fill_columns(
                    group.servable, group.columns, group.status, group.rows, errors
                )
                infer_group(group, errors, deadline)
            inferred = perf_counter()
            if not job:
                check_values(sum(group.answers.size for group in groups if group.answers))
        except NeuralStreamError as error:
            self._failed(model, failing, error, rows=len(entities))
            raise
        seconds = (perf_counter() - begin, read - reading, inferred - read)
        flags = self._flags(deployment, version)
        requests = 0 if job else 1
        unique = random_ulid(self._clock()) if shadow is None else shadow.unique
        ids = ids or RowIds(model, unique, np.arange(len(entities)))
        answer = join_groups(ids, groups, versions, index, errors, seconds, degraded=degraded)
        for group in [] if degraded else groups:
            if group.answers is not None or errors:
                timings = None if job else seconds
                kept = answered_rows(group, errors)
                seen = observe_group(group, errors, kept, timings, requests, flags)
                policy = deployment.model.log
                if policy.jobs or not job:
                    seen.log = log_group(group, kept, policy, ids, entities)
                if shadow is not None and requests:
                    seen.shadow = shadow.rows(answer, entities)
                self._recorder.record(seen)
                requests = 0
        return answer

    def infer(
        self,
        model: str,
        tensors: Callable[[Servable], Mapping[str, np.ndarray]],
        *,
        version: str | None = None,
        entity: str | None = None,
        entities: Mapping[str, str] | None = None,
        accept: Callable[[Servable, Predictions], object] | None = None,
    ) -> Inferred:
        """Predict from tensors the caller already has; no features are read.

        Args:
            tensors: makes the model's inputs, once it is known which version answers.
            version, entity: as for `choose`.
            entities: further ids by entity key or role, by which a version is chosen as by `predict`.
            accept: as for `predict`.

        Raises:
            NotFound, Conflict, Invalid, Unavailable: as `predict`.
        """
        begin = perf_counter()
        deployment = self.deployments.get(model)
        chosen: VersionRecord | None = None
        try:
            if version is not None or not entities:
                chosen = self.choose(deployment, version, entity)
            else:
                any_version = deployment.any_version
                named = identify(entity, entities, None, any_version, self._keys)
                chosen = self.choose(deployment, None, named.entity)
            servable = self.models.get(chosen)
            inputs = tensors(servable)
            before = perf_counter()
            rows = len(next(iter(inputs.values())))
            limit = self.models.limits.tensors
            predictions = servable.reader.run(servable.runtime, inputs, rows, limit)
            after = perf_counter()
            if accept is not None:
                accept(servable, predictions)
        except NeuralStreamError as error:
            self._failed(model, chosen, error)
            raise
        seconds = (perf_counter() - begin, 0.0, after - before)
        flags = self._flags(deployment, version)
        shadow = self._shadow(deployment, version)
        unique = random_ulid(self._clock()) if shadow is None else shadow.unique
        answers = servable.reader.many(predictions)
        seen = observe_tensors(servable, inputs, answers, seconds, flags)
        seen.log = log_tensors(servable, answers, seen, deployment.model.log, unique)
        seen.shadow = None if shadow is None else shadow.tensors(servable, tensors)
        self._recorder.record(seen)
        return Inferred(servable, predictions, PredictionId(model, chosen.version, unique).request)

    def choose(
        self, deployment: Deployment, version: str | None = None, entity: Entity | None = None
    ) -> VersionRecord:
        """The version that answers: the pinned one, else the one that ``entity``'s bucket chooses.

        Without both the production version answers, or else the oldest of the split.

        Raises:
            NotFound: no such version.
            Conflict: the pinned version is not READY, or nothing is in production.
        """
        if version is not None:
            return self.deployments.version(deployment, version)
        if entity is not None:
            return deployment.versions[deployment.assigner.one(entity)]
        production = deployment.model.production_version
        return deployment.versions[production] if production else deployment.any_version

    def _shadow(self, deployment: Deployment, pinned: str | None, rows: int = 1) -> Shadow | None:
        """The shadow of a request that names no version."""
        if deployment.shadow is None or pinned is not None or self._shadows is None:
            return None
        return self._shadows.of(deployment, rows)

    def _failed(
        self,
        model: str,
        version: VersionRecord | str | None,
        error: NeuralStreamError,
        *,
        rows: int = 1,
        refused: Refused | None = None,
    ) -> None:
        name = version.version if isinstance(version, VersionRecord) else version
        self._recorder.failure(model, name, error.code, rows=max(rows, 1), refused=refused)

    def _flags(self, deployment: Deployment, pinned: str | None) -> Flags:
        cold, self._cold = self._cold, False
        return {"cold": cold, "stale_routing": deployment.stale, "pinned": pinned is not None}

    def _keys(self, view: str) -> tuple[str, ...]:
        return self._store.catalog.get(view).keys
