"""From an entity to an answer: route, read, bind, infer, record.

`Engine.predict` is the real-time path of one row: two round trips to Redis (features, observation) and
nothing else. `Engine.predict_columns` does the same for many rows in columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from neuralstream_core.errors import Invalid, NeuralStreamError, Unavailable
from neuralstream_core.features.rows import CellStatus, Entity, Row, ViewRead
from neuralstream_core.monitoring.observation import Recorder, Refused, RowObservation
from neuralstream_core.registry.records import VersionRecord
from neuralstream_core.runtimes import Predictions
from neuralstream_core.serving._refused import given, refused
from neuralstream_core.serving.cells import fallback, filled, first_output, overrides
from neuralstream_core.serving.entities import primaries, primary, primary_view, view_entities
from neuralstream_core.serving.models import Models
from neuralstream_core.serving.outcomes import Outcome
from neuralstream_core.serving.plan import Part, Plan
from neuralstream_core.serving.router import Route, Router
from neuralstream_core.time import Clock, Micros
from neuralstream_core.types import MAX_ENTITY_ID

if TYPE_CHECKING:
    import numpy as np

    from neuralstream_core.features.store import OnlineStore
    from neuralstream_core.serving.columns import Columns

__all__ = ["Engine", "Prediction"]

_PRESENT, _NULL, _EXPIRED, _NOT_FOUND = (int(status) for status in CellStatus)


@dataclass(slots=True)
class Prediction:
    """The answer for one entity.

    Attributes:
        entity: canonical: a string, or a tuple in the primary view's key order; ``None`` when the
            request named none.
        values: what the model saw, one per feature; ``None`` where a cell was missing.
        status: cell statuses, or ``None`` when every cell is present.
        predictions: the runtime's own answer, one row.
        seconds: (total, features, inference).
        degraded: the online store was down and declared defaults were used.
    """

    plan: Plan
    entity: Entity | None
    outcome: Outcome
    values: Sequence[Any]
    status: Sequence[int] | None
    predictions: Predictions
    seconds: tuple[float, float, float]
    at: Micros
    degraded: bool = False

    def features(self) -> dict[str, Any]:
        """What the model saw, by feature name; by ``view:feature`` where two share a name."""
        lookup = self.plan.lookup
        return {
            ref.feature if len(lookup[ref.feature]) == 1 else ref.label: value
            for ref, value in zip(self.plan.features, self.values, strict=True)
        }


class Engine:
    """Serves the models of one namespace.

    Args:
        router: model → versions and split.
        models: version → loaded plan.
        store: the online store.
        recorder: monitoring.
        clock: now, in microseconds.
    """

    def __init__(
        self,
        router: Router,
        models: Models,
        store: OnlineStore,
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        self.router = router
        self.models = models
        self._store = store
        self._recorder = recorder
        self._clock = clock
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
    ) -> Prediction:
        """Predict for one entity.

        Args:
            entity_id: a string; a list or an object for a composite entity; ``None`` if ``features``
                (or ``entities``) hold all that the model needs. The version is then the one that
                `choose` gives for a request without an entity.
            feature_view: the view ``entity_id`` belongs to and in which unqualified names resolve.
            entities: further entity keys, for models that read several views.
            features: values that override the store or that only a request can give.
            version: pinned by the caller; otherwise the entity's own bucket decides.
            started: ``perf_counter()`` when the request arrived, for the total time.

        Raises:
            NotFound: no such model, version or view.
            Conflict: nothing is in production, or the pinned version is not READY.
            Invalid: a wrong entity or override; ``missing_features`` names each missing cell that the
                version's policy does not fill.
            Unavailable: a dependency is down and no last known state can stand in.
        """
        begin = perf_counter() if started is None else started
        route = self.router.get(model)
        chosen: VersionRecord | None = None
        try:
            if version is not None:
                chosen = self.router.version(route, version)
                plan = self.models.get(chosen)
                entity = (
                    None
                    if entity_id is None
                    else self._entity(entity_id, feature_view, plan.version)
                )
            elif entity_id is None:
                entity = None
                chosen = self.choose(route)
                plan = self.models.get(chosen)
            else:
                entity = self._entity(entity_id, feature_view, _first(route))
                chosen = route.versions[route.serving.one(entity)]
                plan = self.models.get(chosen)
        except NeuralStreamError as error:
            self._failed(model, chosen, error)
            raise
        prediction = self._predict(plan, entity, feature_view, entities, features, begin)
        if not prediction.degraded:
            self._record(route, prediction, pinned=version is not None)
        return prediction

    def entities(
        self, model: str, raw: list[Any], feature_view: str | None, version: str | None
    ) -> list[Entity]:
        """``entity_ids`` of a request in the canonical form that `predict_columns` takes.

        Raises:
            NotFound: no such model, version or view.
            Invalid: names every entity that does not fit.
        """
        if set(map(type, raw)) <= {str}:
            return raw
        route = self.router.get(model)
        record = _first(route) if version is None else self.router.version(route, version)
        return primaries(raw, primary_view(feature_view, record), self._keys)

    def predict_columns(
        self,
        model: str,
        entities: Sequence[Entity],
        *,
        keys: Mapping[str, Sequence[str]] | None = None,
        overrides: Mapping[str, Sequence[Any] | np.ndarray] | None = None,
        feature_view: str | None = None,
        version: str | None = None,
        job: bool = False,
        started: float | None = None,
    ) -> Columns:
        """Predict for many entities; see `neuralstream_core.serving.columns.predict_columns`."""
        from neuralstream_core.serving.columns import predict_columns

        begin = perf_counter() if started is None else started
        cold, self._cold = self._cold, False
        return predict_columns(
            self.router,
            self.models,
            self._store,
            self._recorder,
            model,
            entities,
            keys=keys,
            overrides=overrides,
            feature_view=feature_view,
            version=version,
            job=job,
            begin=begin,
            cold=cold,
        )

    def infer(
        self,
        model: str,
        tensors: Callable[[Plan], Mapping[str, np.ndarray]],
        *,
        version: str | None = None,
        entity: str | None = None,
    ) -> tuple[Plan, Predictions]:
        """Predict from tensors the caller already has; no features are read.

        Args:
            tensors: makes the model's inputs, once it is known which version answers.
            entity: chooses the version by its bucket; without it and without ``version`` the
                production version answers, or else the oldest of the split.

        Raises:
            NotFound, Conflict, Invalid, Unavailable: as `predict`.
        """
        begin = perf_counter()
        route = self.router.get(model)
        chosen: VersionRecord | None = None
        try:
            chosen = self.choose(route, version, entity)
            plan = self.models.get(chosen)
            inputs = tensors(plan)
            before = perf_counter()
            rows = len(next(iter(inputs.values())))
            predictions = plan.reader.run(plan.runtime, inputs, rows, self.models.limits.tensors)
            after = perf_counter()
        except NeuralStreamError as error:
            self._failed(model, chosen, error)
            raise
        from neuralstream_core.serving.columns import observe_tensors

        cold, self._cold = self._cold, False
        self._recorder.record(
            observe_tensors(
                route,
                plan,
                inputs,
                predictions,
                (perf_counter() - begin, 0.0, after - before),
                cold=cold,
                pinned=version is not None,
            )
        )
        return plan, predictions

    def choose(
        self, route: Route, version: str | None = None, entity: str | None = None
    ) -> VersionRecord:
        """The version that answers; see `infer`."""
        if version is not None:
            return self.router.version(route, version)
        if entity is not None:
            return route.versions[route.serving.one(entity)]
        production = route.model.production_version
        return route.versions[production or route.serving.versions[0]]

    def _predict(
        self,
        plan: Plan,
        entity: Entity | None,
        feature_view: str | None,
        entities: Mapping[str, str] | None,
        features: Mapping[str, Any] | None,
        begin: float,
    ) -> Prediction:
        reading = perf_counter()
        try:
            binding = plan.bound
            values, status, degraded = self._read(plan, entity, feature_view, entities, features)
        except NeuralStreamError as error:
            version = plan.version
            self._failed(version.model, version, error, given(plan, features, feature_view))
            raise
        read = perf_counter()
        try:
            if status is not None and any(status):
                values = filled(plan, values, status)
            else:
                status = None
            predictions = plan.reader.run(plan.runtime, binding.row(values), 1)
            inferred = perf_counter()
            outcome = plan.reader.one(predictions)
        except NeuralStreamError as error:
            version = plan.version
            cells = None if degraded else refused(plan, values, status)
            self._failed(version.model, version, error, cells)
            raise
        seconds = (perf_counter() - begin, read - reading, inferred - read)
        return Prediction(
            plan, entity, outcome, values, status, predictions, seconds, self._clock(), degraded
        )

    def _failed(
        self,
        model: str,
        version: VersionRecord | None,
        error: NeuralStreamError,
        cells: Refused | None = None,
    ) -> None:
        name = version.version if version else None
        self._recorder.failure(model, name, error.code, refused=cells)

    def _read(
        self,
        plan: Plan,
        entity: Entity | None,
        feature_view: str | None,
        entities: Mapping[str, str] | None,
        features: Mapping[str, Any] | None,
    ) -> tuple[Sequence[Any], Sequence[int] | None, bool]:
        """Values and statuses in model order, and whether defaults stand in for a store that is down."""
        if (
            plan.whole
            and entity is not None
            and not features
            and entities is None
            and feature_view in (None, plan.parts[0].view)
        ):
            part = plan.parts[0]
            try:
                row = self._rows((ViewRead(part.view, entity, part.names),))[0]
            except Unavailable as error:
                return *fallback(plan, error, range(len(plan.features))), True
            return row.values, row.status, False
        return self._gather(plan, entity, feature_view, entities, features or {})

    def _record(
        self,
        route: Route,
        prediction: Prediction,
        *,
        pinned: bool,
    ) -> None:
        plan, outcome = prediction.plan, prediction.outcome
        version = plan.version
        cold, self._cold = self._cold, False
        self._recorder.record(
            RowObservation(
                version.model,
                version.version,
                version.profile,
                plan.features,
                prediction.values,
                prediction.status,
                first_output(outcome.prediction),
                outcome.probability,
                prediction.seconds,
                cold=cold,
                stale_routing=route.stale,
                pinned=pinned,
                classes=plan.classes,
            )
        )

    def _gather(
        self,
        plan: Plan,
        entity: Entity | None,
        feature_view: str | None,
        entities: Mapping[str, str] | None,
        features: Mapping[str, Any],
    ) -> tuple[Sequence[Any], Sequence[int] | None, bool]:
        """Values and statuses in model order: overrides first, the rest from the store, one flight."""
        count = len(plan.features)
        values: list[Any] = [None] * count
        status = [_NOT_FOUND] * count
        given = overrides(plan, features, feature_view)
        for place, value in given.items():
            values[place] = value
            status[place] = _NULL if value is None else _PRESENT
        parts = self._parts(plan, given, feature_view)
        if not parts:
            return values, status, False
        main = feature_view or plan.parts[0].view
        wanted = (
            [entity]
            if entity is not None and entities is None and len(parts) == 1 and parts[0].view == main
            else view_entities(entity, [part.view for part in parts], main, entities, self._keys)
        )
        try:
            rows = self._rows(
                [ViewRead(part.view, e, part.names) for part, e in zip(parts, wanted, strict=True)]
            )
        except Unavailable as error:
            needed = [place for part in parts for place in part.places]
            fallback(plan, error, needed)
            return values, status, True
        for part, row in zip(parts, rows, strict=True):
            for place, value, cell in zip(part.places, row.values, row.status, strict=True):
                values[place] = value
                status[place] = cell
        return values, status, False

    def _rows(self, reads: Sequence[ViewRead]) -> list[Row]:
        try:
            return self._store.read_rows(reads)
        except Invalid as error:
            if error.code != "unknown_feature":
                raise
        # the view has grown since this process last looked: a new version reads the new feature
        for read in reads:
            self._store.catalog.latest(read.view)
        return self._store.read_rows(reads)

    def _parts(self, plan: Plan, given: Mapping[int, Any], feature_view: str | None) -> list[Part]:
        """What is still to be read."""
        plan.check_view(feature_view)
        parts: list[Part] = []
        for part in plan.parts:
            places = tuple(place for place in part.places if place not in given)
            if len(places) == len(part.places):
                parts.append(part)
            elif places:
                names = tuple(plan.features[place].feature for place in places)
                parts.append(Part(part.view, names, places))
        return parts

    def _entity(
        self,
        entity_id: Any,
        feature_view: str | None,
        version: VersionRecord,
    ) -> Entity:
        """``entity_id`` in canonical form, which the bucket is computed from."""
        if isinstance(entity_id, str):
            if entity_id.isascii() and 0 < len(entity_id) <= MAX_ENTITY_ID:
                return entity_id
            return primary(entity_id, None, self._keys)
        return primary(entity_id, primary_view(feature_view, version), self._keys)

    def _keys(self, view: str) -> tuple[str, ...]:
        return self._store.catalog.get(view).keys


def _first(route: Route) -> VersionRecord:
    """A version that serves; all of a model name their entity alike.

    Raises:
        Conflict: no version is in production.
    """
    return route.versions[route.serving.versions[0]]
