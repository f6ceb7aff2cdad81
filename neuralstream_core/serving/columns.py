"""Many predictions at once, in columns from end to end.

One flight reads the rows of every version and view, one inference call a version answers them, and
everything between is array arithmetic. A row that cannot be answered gets an error of its own and does
not disturb its neighbours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from neuralstream_core.errors import Invalid, NeuralStreamError, Unavailable
from neuralstream_core.features.rows import BlockRead, Entity, Status
from neuralstream_core.monitoring.observation import Observation, Recorder
from neuralstream_core.serving._groups import (
    Group,
    RowError,
    answers,
    blank,
    fill_missing,
    infer,
)
from neuralstream_core.serving.deadline import Deadline
from neuralstream_core.serving.entities import column_entities
from neuralstream_core.serving.models import Models
from neuralstream_core.serving.plan import Plan
from neuralstream_core.serving.router import Route, Router
from neuralstream_core.serving.runtimes import Predictions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.features.block import Block
    from neuralstream_core.features.store import OnlineStore

__all__ = ["Columns", "RowError", "observe_tensors", "predict_columns"]


@dataclass(slots=True)
class Columns:
    """Answers of ``n`` rows.

    Attributes:
        versions: names of the versions that answered.
        version: index into `versions` for each row, ``(n,)``.
        prediction: ``(n,)``; numbers or labels, object where versions differ in type or a model has
            several outputs. Meaningless at rows in `errors`.
        probability: float64 ``(n,)`` as in `Outcome.probability`, NaN where there is none; ``None``
            when no version gives any.
        probabilities: by class, float64 ``(n,)`` each, for a classifier of three or more classes that
            answered alone; ``None`` otherwise.
        errors: by row.
        seconds: (total, features, inference).
        degraded: the online store was down and declared defaults were used.
    """

    versions: tuple[str, ...]
    version: NDArray[np.intp]
    prediction: NDArray[Any]
    probability: NDArray[np.float64] | None
    probabilities: dict[str, NDArray[np.float64]] | None
    errors: dict[int, RowError]
    seconds: tuple[float, float, float]
    degraded: bool = False


def predict_columns(
    router: Router,
    models: Models,
    store: OnlineStore,
    recorder: Recorder,
    model: str,
    entities: Sequence[Entity],
    *,
    keys: Mapping[str, Sequence[str]] | None,
    overrides: Mapping[str, Sequence[Any] | np.ndarray] | None,
    feature_view: str | None,
    version: str | None,
    job: bool,
    begin: float,
    cold: bool,
) -> Columns:
    """Predict for ``n`` entities.

    Args:
        entities: ``n`` canonical entities of the primary view.
        keys: further entity keys, ``n`` values each.
        overrides: values that override the store or that only the caller can give, by input name,
            ``n`` values each; ``None`` (NaN in a float array) is a missing one.
        version: pinned; otherwise each entity's own bucket decides.
        job: part of a batch job, whose duration is no latency anybody waited for.

    Raises:
        NotFound, Conflict, Unavailable: as for one prediction; nothing was answered.
        Invalid: an override is not an input of the model.
    """
    route = router.get(model)
    n = len(entities)
    try:
        groups, versions, index = _groups(route, router, models, entities, version)
        errors: dict[int, RowError] = {}
        for group in groups:
            blank(group, overrides or {}, feature_view, errors)
        reading = perf_counter()
        degraded = _read(groups, store, entities, keys, overrides or {}, feature_view)
        read = perf_counter()
        limits = models.limits
        deadline = Deadline.begin(limits.job if job else limits.rows)
        for group in groups:
            fill_missing(group, errors)
            infer(group, errors, deadline)
        inferred = perf_counter()
    except NeuralStreamError as error:
        if not (isinstance(error, Unavailable) and error.dependency == "redis"):
            recorder.failure(model, version, error.code)
        raise
    seconds = (perf_counter() - begin, read - reading, inferred - read)
    if not degraded:
        timings = None if job else seconds
        _record(recorder, route, groups, errors, timings, cold=cold, pinned=version is not None)
    prediction, probability, probabilities = _joined(groups, n)
    return Columns(
        versions, index, prediction, probability, probabilities, errors, seconds, degraded
    )


def _groups(
    route: Route,
    router: Router,
    models: Models,
    entities: Sequence[Entity],
    version: str | None,
) -> tuple[list[Group], tuple[str, ...], NDArray[np.intp]]:
    n = len(entities)
    if version is not None:
        plan = models.get(router.version(route, version))
        return [Group(plan, np.arange(n))], (version,), np.zeros(n, np.intp)
    assigner = route.serving
    index: NDArray[np.intp] = assigner.many(entities)
    groups = [
        Group(models.get(route.versions[name]), rows)
        for place, name in enumerate(assigner.versions)
        if len(rows := np.flatnonzero(index == place))
    ]
    return groups, assigner.versions, index


def _read(
    groups: Sequence[Group],
    store: OnlineStore,
    entities: Sequence[Entity],
    keys: Mapping[str, Sequence[str]] | None,
    overrides: Mapping[str, Sequence[Any] | np.ndarray],
    feature_view: str | None,
) -> bool:
    """Fill the columns from the store, all groups and views in one flight.

    Returns:
        Whether the store was down and every model can answer with its defaults.
    """
    reads: list[BlockRead] = []
    owners: list[tuple[Group, tuple[int, ...]]] = []
    for group in groups:
        plan = group.plan
        given = {plan.place(name, feature_view) for name in overrides}
        wanted = _wanted(plan, given, feature_view)
        if not wanted:
            continue
        main = feature_view or plan.parts[0].view
        everyone = len(group.rows) == len(entities)
        own = entities if everyone else [entities[row] for row in group.rows.tolist()]
        extra = (
            keys
            if keys is None or everyone
            else {key: [v[row] for row in group.rows.tolist()] for key, v in keys.items()}
        )
        views = [view for view, _ in wanted]
        named = column_entities(own, views, main, extra, lambda v: store.catalog.get(v).keys)
        for (view, places), rows in zip(wanted, named, strict=True):
            names = tuple(plan.features[place].feature for place in places)
            reads.append(BlockRead(view, rows, names))
            owners.append((group, places))
    if not reads:
        return False
    try:
        blocks = _blocks(store, reads)
    except Unavailable as error:
        if error.dependency == "redis" and all(g.plan.defaulted(p) for g, p in owners):
            return True
        raise
    for (group, places), block in zip(owners, blocks, strict=True):
        for place in places:
            group.columns[place] = block.columns[group.plan.features[place].feature]
        group.status[:, list(places)] = block.status
    return False


def _blocks(store: OnlineStore, reads: Sequence[BlockRead]) -> list[Block]:
    try:
        return store.read_blocks(reads)
    except Invalid as error:
        if error.code != "unknown_feature":
            raise
    for read in reads:  # a view has grown since this process last looked
        store.catalog.latest(read.view)
    return store.read_blocks(reads)


def _wanted(
    plan: Plan, given: set[int], feature_view: str | None
) -> list[tuple[str, tuple[int, ...]]]:
    """View → places still to be read."""
    plan.check_view(feature_view)
    left = [(part.view, tuple(p for p in part.places if p not in given)) for part in plan.parts]
    return [(view, places) for view, places in left if places]


def _first(prediction: NDArray[Any]) -> NDArray[Any]:
    """What monitoring follows of a model with several outputs: the first."""
    return prediction if prediction.ndim == 1 else prediction[:, 0]


def _record(
    recorder: Recorder,
    route: Route,
    groups: Sequence[Group],
    errors: Mapping[int, RowError],
    seconds: tuple[float, float, float] | None,
    *,
    cold: bool,
    pinned: bool,
) -> None:
    requests = 0 if seconds is None else 1
    for group in groups:
        if group.predictions is None and not errors:
            continue
        plan, version = group.plan, group.plan.version
        rows = group.rows.tolist() if errors else []
        counts = Counter(errors[row].code for row in rows if row in errors)
        answered = group.good
        if counts and len(answered):
            keep = np.array([int(row) not in errors for row in group.rows[answered]], np.bool_)
        else:
            keep = np.ones(len(answered), np.bool_)
        picked = answered[keep]
        whole = len(picked) == len(group.rows)
        status = group.status if whole else group.status[picked]
        recorder.record(
            Observation(
                model=version.model,
                version=version.version,
                profile=version.profile,
                features=plan.features,
                columns=group.columns if whole else [c[picked] for c in group.columns],
                status=status if status.any() else None,
                prediction=_first(group.prediction)[keep] if len(group.prediction) else [],
                score=None if group.probability is None else group.probability[keep],
                timings=seconds,
                cold=cold,
                stale_routing=route.stale,
                pinned=pinned,
                requests=requests,
                errors=dict(counts) or None,
                classes=plan.classes,
            )
        )
        requests = 0


def observe_tensors(
    route: Route,
    plan: Plan,
    inputs: Mapping[str, np.ndarray],
    predictions: Predictions,
    seconds: tuple[float, float, float],
    *,
    cold: bool,
    pinned: bool,
) -> Observation:
    """What monitoring is told of an inference on the caller's own tensors.

    They are taken apart into the version's features again, if it lists any.
    """
    prediction, score = answers(plan, predictions)
    columns = plan.binding.split(inputs) if plan.binding is not None else []
    status = np.zeros((len(prediction), len(columns)), np.uint8)
    for place, column in enumerate(columns):
        if column.dtype.kind == "f":
            absent = np.isnan(column.reshape(len(column), -1)).any(axis=1)
            status[absent, place] = Status.NULL
    return Observation(
        model=plan.version.model,
        version=plan.version.version,
        profile=plan.version.profile,
        features=plan.features,
        columns=columns,
        status=status if status.any() else None,
        prediction=_first(prediction),
        score=score,
        timings=seconds,
        cold=cold,
        stale_routing=route.stale,
        pinned=pinned,
        classes=plan.classes,
    )


def _joined(
    groups: Sequence[Group], n: int
) -> tuple[NDArray[Any], NDArray[np.float64] | None, dict[str, NDArray[np.float64]] | None]:
    """The groups' answers back in the order of the request."""
    done = [group for group in groups if group.predictions is not None]
    dtypes = {group.prediction.dtype for group in done}
    plain = len(dtypes) == 1 and all(group.prediction.ndim == 1 for group in done)
    prediction = np.empty(n, dtype=dtypes.pop() if plain else object)
    if plain and prediction.dtype.kind != "O":
        prediction[:] = np.zeros((), prediction.dtype)
    probability: NDArray[np.float64] | None = None
    for group in done:
        rows = group.rows[group.good]
        if plain:
            prediction[rows] = group.prediction
        else:
            for row, value in zip(rows.tolist(), group.prediction.tolist(), strict=True):
                prediction[row] = value
        if group.probability is not None:
            if probability is None:
                probability = np.full(n, np.nan)
            probability[rows] = group.probability
    return prediction, probability, _by_class(done, n) if len(done) == 1 else None


def _by_class(done: Sequence[Group], n: int) -> dict[str, NDArray[np.float64]] | None:
    group = done[0]
    classes = group.plan.classes
    scores = None if group.predictions is None else group.predictions.probabilities
    if classes is None or scores is None or scores.shape[1] <= 2:
        return None
    rows = group.rows[group.good]
    by_class: dict[str, NDArray[np.float64]] = {}
    for at, label in enumerate(classes):
        column = np.full(n, np.nan)
        column[rows] = scores[:, at]
        by_class[str(label)] = column
    return by_class
