"""The point-in-time join as SQL: one text that DuckDB and Athena (Trino) both run.

The text reads sources that each engine defines in its own words, see `neuralstream_core.history.sources`:

``labels``
    ``_label`` (BIGINT, 1 to n, the order of rows), ``_time`` (BIGINT, microseconds), the entity's text of
    each lookup in the column that `Lookup.entity` names, and the caller's columns as ``_c0``, ``_c1``, …
``history_<n>``
    of lookup *n*, from 1: the columns of `neuralstream_core.history.schema`, ``_written_<k>`` never NULL,
    and ``_at``, which is unique and orders the rows of an entity as
    `neuralstream_core.history.schema.ORDER` does.
``bitwise_and``
    the function.

How it works: features that were always written together form a class. Label rows and the narrow part of
history rows (entity, time, ``_at``, which classes) are brought into the order of time once; each history row
is counted to the next label of its entity; per class the newest row is the running maximum of ``_at``. Only
then are values fetched, by ``_at``: no value goes through a sort.

In the mode ``as_known`` a row is placed at the later one of its event time and its write time: a label sees
the same rows as if it had asked then. The running maximum is over ``_at``, so the newest event time wins in
both modes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from neuralstream_core.features.schema import FeatureView
from neuralstream_core.history.mode import Mode
from neuralstream_core.history.schema import feature_columns, written_column
from neuralstream_core.parquet import quoted

__all__ = ["MAX_CLASSES", "Lookup", "Output", "join_text"]

MAX_CLASSES: Final = 32
"""Classes of one pass over the history."""


class Output(NamedTuple):
    """A feature of the result.

    Attributes:
        feature: its name in the view.
        column: its name in the result.
    """

    feature: str
    column: str


class Lookup(NamedTuple):
    """Features of one view, looked up for one entity of each label.

    Attributes:
        view: at the schema version in which it is read.
        entity: the column of ``labels`` that holds the text of `entity_bytes`.
        classes: the features, in groups that were always written together; one group per feature is always
            right.
    """

    view: FeatureView
    entity: str
    classes: Sequence[Sequence[Output]]


class _Pass(NamedTuple):
    """At most `MAX_CLASSES` classes of one lookup."""

    number: int
    history: str
    lookup: Lookup
    classes: Sequence[Sequence[Output]]


def join_text(
    lookups: Sequence[Lookup], mode: Mode, labels: Sequence[str], outputs: Sequence[str]
) -> str:
    """The query: one row per label, in their order.

    Args:
        lookups: each view and role once.
        labels: names, in the result, of the columns ``_c0``, ``_c1``, … of ``labels``.
        outputs: names of the features in the result, in order; all of ``lookups``.
    """
    passes: list[_Pass] = []
    for number, lookup in enumerate(lookups, 1):
        passes += [
            _Pass(len(passes) + 1 + place, f"history_{number}", lookup, classes)
            for place, classes in enumerate(_batches(lookup.classes))
        ]
    steps = [step for one in passes for step in _steps(one, mode)]
    places = {
        output.column: f"values_{one.number}.{_value(k, i)}"
        for one in passes
        for k, outputs_ in enumerate(one.classes)
        for i, output in enumerate(outputs_)
    }
    selected = [f"labels._c{i} AS {quoted(name)}" for i, name in enumerate(labels)]
    selected += [f"{places[name]} AS {quoted(name)}" for name in outputs]
    joins = "".join(
        f"\nLEFT JOIN values_{one.number} ON values_{one.number}._label = labels._label"
        for one in passes
    )
    return (
        "WITH "
        + ",\n".join(f"{name} AS (\n{select}\n)" for name, select in steps)
        + f"\nSELECT {', '.join(selected)}\nFROM labels{joins}\nORDER BY labels._label"
    )


def _steps(one: _Pass, mode: Mode) -> list[tuple[str, str]]:
    """The named queries of a pass; the last, ``values_<n>``, has one row per label that sees any row."""
    n, entity = one.number, quoted(one.lookup.entity)
    index, ttl = one.lookup.view.index, one.lookup.view.ttl_micros
    kinds = range(len(one.classes))
    written = [written_column(index[outputs[0].feature]) for outputs in one.classes]
    words = sorted({word for word, _ in written})
    seen_from = "" if ttl is None else f", min(_time) - {ttl} AS _from"
    pruned = "" if ttl is None else " AND h._event_time >= e._from"
    # twice the time, plus one for a label: of equal times, the row comes before the label
    when = "h._event_time" if mode is Mode.AS_OF else "greatest(h._event_time, h._write_time)"
    newest = [
        f"max(CASE WHEN bitwise_and({word}, {bit}) > 0 THEN _at END) AS _at_{k}"
        for k, (word, bit) in zip(kinds, written, strict=True)
    ]
    running = [f"max(_at_{k}) OVER w AS _at_{k}" for k in kinds]
    columns = feature_columns(one.lookup.view)
    values = [
        f"max(CASE WHEN bitwise_and(p._bits, {1 << k}) > 0 THEN h.{quoted(columns[output.feature])} END)"
        f" AS {_value(k, i)}"
        for k, outputs in enumerate(one.classes)
        for i, output in enumerate(outputs)
    ]
    alive = "" if ttl is None else f"\nWHERE 2 * h._event_time >= p._when - {2 * ttl + 1}"
    bits = ", ".join(f"({k}, {1 << k})" for k in kinds)
    cases = " ".join(f"WHEN {k} THEN _at_{k}" for k in kinds)
    return [
        (
            f"entities_{n}",
            f"SELECT {entity} AS _entity, min(_label) AS _id, max(_time) AS _until{seen_from}\n"
            f"FROM labels GROUP BY {entity}",
        ),
        (
            f"lines_{n}",
            f"SELECT e._id, 2 * {when} AS _when, CAST(NULL AS BIGINT) AS _label, h._at,"
            f" {', '.join(f'h.{word}' for word in words)}\n"
            f"FROM {one.history} h JOIN entities_{n} e ON h._entity = e._entity\n"
            f"WHERE h._event_time <= e._until{pruned}\n"
            f"UNION ALL\nSELECT e._id, 2 * l._time + 1, l._label, NULL{', 0' * len(words)}\n"
            f"FROM labels l JOIN entities_{n} e ON l.{entity} = e._entity",
        ),
        (
            f"placed_{n}",
            f"SELECT _id, _when, _label, _at, {', '.join(words)}, count(_label) OVER (PARTITION BY _id"
            " ORDER BY _when DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS _next\n"
            f"FROM lines_{n}",
        ),
        (
            f"newest_{n}",
            f"SELECT _id, _next, max(_label) AS _label, max(_when) AS _when, {', '.join(newest)}\n"
            f"FROM placed_{n} WHERE _next > 0 GROUP BY _id, _next",
        ),
        (
            f"seen_{n}",
            f"SELECT _label, _when, {', '.join(running)}\nFROM newest_{n}\nWINDOW w AS (PARTITION BY _id"
            " ORDER BY _next DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)",
        ),
        (
            f"rows_{n}",
            "SELECT _label, _when, _at, CAST(sum(_bit) AS BIGINT) AS _bits\n"
            f"FROM (SELECT _label, _when, _bit, CASE _class {cases} END AS _at\n"
            f"FROM seen_{n} CROSS JOIN (VALUES {bits}) AS c (_class, _bit)) found\n"
            "WHERE _at IS NOT NULL GROUP BY _label, _when, _at",
        ),
        (
            f"values_{n}",
            f"SELECT p._label, {', '.join(values)}\n"
            f"FROM {one.history} h JOIN rows_{n} p ON h._at = p._at{alive}\nGROUP BY p._label",
        ),
    ]


def _batches(classes: Sequence[Sequence[Output]]) -> list[Sequence[Sequence[Output]]]:
    return [classes[at : at + MAX_CLASSES] for at in range(0, len(classes), MAX_CLASSES)]


def _value(kind: int, place: int) -> str:
    return f"_v{kind}_{place}"
