"""Many predictions at once, in columns from end to end.

One flight reads the rows of every version and view, one inference call a version answers them, and
everything between is array arithmetic. A row that cannot be answered gets an error of its own and does
not disturb its neighbours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from neuralstream_core.errors import Invalid, NeuralStreamError, Unavailable
from neuralstream_core.features.rows import BlockRead, CellStatus, Entity
from neuralstream_core.monitoring.observation import Observation, Recorder
from neuralstream_core.runtimes import Predictions
from neuralstream_core.serving._groups import Group, infer
from neuralstream_core.serving.bounds import check_values
from neuralstream_core.serving.cells import RowError, fill_columns, override_columns
from neuralstream_core.serving.deadline import Deadline
from neuralstream_core.serving.entities import column_entities
from neuralstream_core.serving.models import Models
from neuralstream_core.serving.outcomes import Answers
from neuralstream_core.serving.plan import Plan
from neuralstream_core.serving.router import Route, Router

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
        probability, score: float64 ``(n,)`` as in `Outcome`, NaN where there is none; ``None`` when
            no version gives any.
        probabilities, scores: by class, float64 ``(n,)`` each, NaN where the row's version has no
            such class; empty when no version has three or more.
        names: of the values of a prediction by version, for models with several named outputs.
        errors: by row.
        seconds: (total, features, inference).
        degraded: the online store was down and declared defaults were used.
    """

    versions: tuple[str, ...]
    version: NDArray[np.intp]
    prediction: NDArray[Any]
    probability: NDArray[np.float64] | None
    score: NDArray[np.float64] | None
    probabilities: dict[str, NDArray[np.float64]]
    scores: dict[str, NDArray[np.float64]]
    errors: dict[int, RowError]
    seconds: tuple[float, float, float]
    names: Mapping[str, tuple[str, ...]]
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
        TooLarge: no answer can hold so many values.
    """
    route = router.get(model)
    n = len(entities)
    failing = version or _only(route)
    try:
        groups, versions, index = _groups(route, router, models, entities, version)
        errors: dict[int, RowError] = {}
        for group in groups:
            failing = group.plan.version.version
            group.columns, group.status = override_columns(
                group.plan, group.rows, overrides or {}, feature_view, errors
            )
        reading = perf_counter()
        degraded = _read(groups, store, entities, keys, overrides or {}, feature_view)
        read = perf_counter()
        limits = models.limits
        deadline = Deadline.begin(limits.job if job else limits.rows)
        for group in groups:
            failing = group.plan.version.version
            group.good = fill_columns(group.plan, group.columns, group.status, group.rows, errors)
            infer(group, errors, deadline)
        inferred = perf_counter()
        if not job:
            check_values(sum(group.answers.size for group in groups if group.answers is not None))
    except NeuralStreamError as error:
        recorder.failure(model, failing, error.code, rows=max(n, 1))
        raise
    seconds = (perf_counter() - begin, read - reading, inferred - read)
    if not degraded:
        timings = None if job else seconds
        _record(recorder, route, groups, errors, timings, cold=cold, pinned=version is not None)
    done = [(group, group.answers) for group in groups if group.answers is not None]
    return Columns(
        versions=versions,
        version=index,
        prediction=_predictions(done, n),
        probability=_numbers(done, n, lambda answers: answers.probability),
        score=_numbers(done, n, lambda answers: answers.score),
        probabilities=_by_class(done, n, lambda answers: answers.probability),
        scores=_by_class(done, n, lambda answers: answers.score),
        errors=errors,
        seconds=seconds,
        names={group.plan.version.version: group.plan.reader.names for group, _ in done},
        degraded=degraded,
    )


def _only(route: Route) -> str | None:
    """The version that serves, when there is one; of several it is not known yet which one fails."""
    names = route.assigner.versions if route.assigner is not None else ()
    return names[0] if len(names) == 1 else None


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
        if group.answers is None and not errors:
            continue
        plan, version = group.plan, group.plan.version
        rows = group.rows.tolist() if errors else []
        counts = Counter(errors[row].code for row in rows if row in errors)
        answered, answers = group.good, group.answers
        if counts and len(answered):
            keep = np.array([int(row) not in errors for row in group.rows[answered]], np.bool_)
        else:
            keep = np.ones(len(answered), np.bool_)
        picked = answered[keep]
        done: NDArray[np.bool_] | None = None
        if len(picked) < len(group.rows):
            done = np.zeros(len(group.rows), np.bool_)
            done[picked] = True
        recorder.record(
            Observation(
                model=version.model,
                version=version.version,
                profile=version.profile,
                features=plan.features,
                columns=group.columns,
                status=group.status if group.status.any() else None,
                prediction=[] if answers is None else _first(answers.prediction)[keep],
                score=None
                if answers is None or answers.probability is None
                else answers.probability[keep],
                timings=seconds,
                cold=cold,
                stale_routing=route.stale,
                pinned=pinned,
                requests=requests,
                errors=dict(counts) or None,
                classes=plan.classes,
                answered=done,
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
    answers = plan.reader.many(predictions)
    prediction, score = answers.prediction, answers.probability
    columns = plan.binding.split(inputs) if plan.binding is not None else []
    status = np.zeros((len(prediction), len(columns)), np.uint8)
    for place, column in enumerate(columns):
        if column.dtype.kind == "f":
            absent = np.isnan(column.reshape(len(column), -1)).any(axis=1)
            status[absent, place] = CellStatus.NULL
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


_Done: TypeAlias = "Sequence[tuple[Group, Answers]]"
"""Groups that have answers, and these."""


def _predictions(done: _Done, n: int) -> NDArray[Any]:
    """The groups' predictions back in the order of the request."""
    dtypes = {answers.prediction.dtype for _, answers in done}
    plain = len(dtypes) == 1 and all(answers.prediction.ndim == 1 for _, answers in done)
    prediction = np.empty(n, dtype=dtypes.pop() if plain else object)
    if plain and prediction.dtype.kind != "O":
        prediction[:] = np.zeros((), prediction.dtype)
    for group, answers in done:
        rows = group.rows[group.good]
        if plain:
            prediction[rows] = answers.prediction
        else:
            for row, value in zip(rows.tolist(), answers.prediction.tolist(), strict=True):
                prediction[row] = value
    return prediction


def _numbers(
    done: _Done, n: int, pick: Callable[[Answers], NDArray[np.float64] | None]
) -> NDArray[np.float64] | None:
    """One number per row in the order of the request, NaN where there is none."""
    joined: NDArray[np.float64] | None = None
    for group, answers in done:
        found = pick(answers)
        if found is not None:
            if joined is None:
                joined = np.full(n, np.nan)
            joined[group.rows[group.good]] = found
    return joined


def _by_class(
    done: _Done, n: int, pick: Callable[[Answers], NDArray[np.float64] | None]
) -> dict[str, NDArray[np.float64]]:
    """The same of every class, where the numbers that ``pick`` chooses from have a name each."""
    by_class: dict[str, NDArray[np.float64]] = {}
    for group, answers in done:
        if answers.by_class is None or pick(answers) is None:
            continue
        rows = group.rows[group.good]
        for at, name in enumerate(group.plan.reader.class_names):
            column = by_class.setdefault(name, np.full(n, np.nan))
            column[rows] = answers.by_class[:, at]
    return by_class
