"""Predictions joined to their outcomes, in DuckDB.

1. Of several rows of one prediction one counts; of the outcomes of one prediction the last one: by
   ``observed_at``, then the order of the history (`neuralstream_core.history.schema.ORDER`).
2. An outcome that names entity and time belongs to the last answered prediction for that entity at or before
   that time, at most `PATIENCE` earlier.
3. A shadow's prediction has the outcome of the prediction that was answered in its place.

Files are sorted by ids, which begin with model and version, so the row groups of other models are skipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from neuralstream_core.features.schema import FeatureView
from neuralstream_core.history.files import select_rows
from neuralstream_core.history.manifest import DataFile
from neuralstream_core.history.reader import History
from neuralstream_core.outcomes.ids import STAMP, stamp_of, stamp_time
from neuralstream_core.outcomes.joined import MAX_ROWS, Join, Joined
from neuralstream_core.outcomes.views import OUTCOMES, PREDICTIONS
from neuralstream_core.time import Micros

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from neuralstream_core.parquet import ObjectFiles

__all__ = ["PATIENCE", "Joining", "Source"]

PATIENCE: Final[Micros] = 24 * 3600 * 1_000_000
"""How much earlier than its time a prediction may be that an outcome by entity belongs to."""
_SHARES: Final = 1 << 20


class Source(NamedTuple):
    """Rows of a view: its files, and local files of what came in since."""

    view: FeatureView
    files: Sequence[DataFile]
    tail: list[str]


class Joining:
    """One join under way, in tables of the database.

    ``o``: outcomes; ``p``: predictions; ``named``: the prediction of each outcome by entity; ``t``: the
    outcome of each answered prediction; ``j``: predictions of the window with an outcome.
    """

    def __init__(
        self,
        connection: DuckDBPyConnection,
        files: ObjectFiles,
        history: History,
        sources: Mapping[str, Source],
    ) -> None:
        self._database, self._files = connection, files
        self._history, self._sources = history, sources

    # --- reading -------------------------------------------------------------------------------

    def outcomes(self, join: Join) -> None:
        """Fill ``o``: of each id, or entity and time, the last outcome.

        None is observed before its prediction, so those before the window are not of it.
        """
        source = self._rows(OUTCOMES, join.start, None)
        model = join.model
        own = "_entity >= ? AND _entity < ?"
        self._execute(
            "CREATE TEMP TABLE o AS SELECT _entity AS id, _event_time AS observed, _write_time,"  # noqa: S608
            " _request_id, _row, label, value, entity, predicted_at,"
            f" CASE WHEN entity IS NULL THEN left(split_part(_entity, ':', 3), {STAMP}) END AS stamp"
            f" FROM ({source}) WHERE {own} AND (({own}) OR ({own})) AND _event_time >= ?"
            " QUALIFY row_number() OVER (PARTITION BY _entity"
            f" ORDER BY _event_time DESC, {_LATEST}) = 1",
            # the first range holds both others: by it row groups are skipped
            [
                *(f"{model}\n", f"{model};"),
                *(f"{model}:", f"{model};"),
                *(f"{model}\n", f"{model}\x0b"),
                join.start,
            ],
        )

    def predicted(self, join: Join) -> tuple[Micros, Micros]:
        """From when to when predictions are looked at: those of the window, and those of other times that
        an outcome by entity may belong to."""
        ((entities,),) = self._fetch(
            "SELECT count(*) FROM o WHERE entity IS NOT NULL AND predicted_at >= ?", [join.start]
        )
        if join.by == "predicted":
            more = PATIENCE if entities else 0
            return join.start - more, join.end + more
        ((stamp, asked),) = self._fetch(
            "SELECT min(stamp), min(predicted_at) FROM o WHERE observed >= ? AND observed < ?",
            [join.start, join.end],
        )
        times = [] if stamp is None else [stamp_time(stamp)]
        if asked is not None:
            times.append(asked - PATIENCE)
        return (min(times), join.end + PATIENCE) if times else (join.end, join.end)

    def predictions(self, join: Join, span: tuple[Micros, Micros]) -> None:
        """Fill ``p``: every prediction of the model in ``span``, once."""
        first, end = span
        source = self._rows(PREDICTIONS, first, end)
        inputs = "inputs" if join.inputs else "NULL::VARCHAR AS inputs"
        self._execute(
            "CREATE TEMP TABLE p AS SELECT _entity AS id, _event_time AS made, version, label, value,"  # noqa: S608
            " probability, probabilities, entity, weight, coalesce(shadow, false) AS shadow,"
            f' coalesce("of", _entity) AS served, {inputs} FROM ({source})'
            " WHERE _entity >= ? AND _entity < ? AND _event_time >= ? AND _event_time < ?",
            [f"{join.model}:", f"{join.model};", first, end],
        )
        ((rows, ids),) = self._fetch("SELECT count(*), count(DISTINCT id) FROM p")
        if rows > ids:  # delivered more than once since the last compaction
            self._execute(
                "CREATE OR REPLACE TEMP TABLE p AS SELECT * FROM p"
                " QUALIFY row_number() OVER (PARTITION BY id ORDER BY made, rowid) = 1"
            )

    def _rows(self, name: str, first: Micros, end: Micros | None) -> str:
        """The query for all rows of a view with an event time in ``[first, end)``, and some others."""
        source = self._sources[name]
        paths = [
            self._files.add(self._history.location(file), file.bytes, "")
            for file in source.files
            if file.last_event_time >= first and (end is None or file.first_event_time < end)
        ]
        return select_rows(source.view, [*paths, *source.tail])

    # --- joining -------------------------------------------------------------------------------

    def match(self, join: Join) -> None:
        """Fill ``t`` and ``j``."""
        self._execute(
            "CREATE TEMP TABLE named AS SELECT o.id AS outcome, p.id AS served FROM"
            " (SELECT id, entity, predicted_at FROM o WHERE entity IS NOT NULL) o"
            " ASOF JOIN (SELECT max(id) AS id, entity, made FROM p"
            " WHERE NOT shadow AND entity IS NOT NULL GROUP BY entity, made) p"
            " ON o.entity = p.entity AND o.predicted_at >= p.made WHERE o.predicted_at - p.made <= ?",
            [PATIENCE],
        )
        self._execute(
            "CREATE TEMP TABLE t AS SELECT served, label, value, observed FROM"  # noqa: S608
            " (SELECT coalesce(n.served, o.id) AS served, o.* FROM o LEFT JOIN named n ON o.id = n.outcome"
            " WHERE o.entity IS NULL OR n.served IS NOT NULL)"
            f" QUALIFY row_number() OVER (PARTITION BY served ORDER BY observed DESC, {_LATEST}) = 1"
        )
        at = "p.made" if join.by == "predicted" else "t.observed"
        self._execute(
            f"CREATE TEMP TABLE j AS SELECT p.*, {at} AS moment, t.label AS true_label,"  # noqa: S608
            " t.value AS true_value FROM p JOIN t ON p.served = t.served"
            f" WHERE {at} >= ? AND {at} < ?",
            [join.start, join.end],
        )

    def versions(self, join: Join) -> list[Joined]:
        """What was found of each version."""
        only = "" if join.version is None else " AND version = ?"
        given = [] if join.version is None else [join.version]
        found = self._fetch(
            "SELECT version, shadow, count(*), sum(weight) FROM j WHERE true"  # noqa: S608
            f"{only} GROUP BY ALL",
            given,
        )
        matched = {(row[0], row[1]): (row[2], row[3]) for row in found}
        if join.by == "predicted":
            found = self._fetch(
                "SELECT version, shadow, count(*), sum(weight) FROM p WHERE made >= ? AND made < ?"  # noqa: S608
                f"{only} GROUP BY ALL",
                [join.start, join.end, *given],
            )
        counted = {(row[0], row[1]): (row[2], row[3]) for row in found}
        return [
            self._joined(join, version, shadow, counted[version, shadow], matched.get(key, (0, 0)))
            for key in sorted(counted, key=lambda key: (int(key[0][1:]), key[1]))
            for version, shadow in [key]
        ]

    def unmatched(self, join: Join) -> int:
        """Outcomes of the window that belong to no prediction."""
        if join.by == "predicted":
            window = "coalesce(predicted_at >= ? AND predicted_at < ?, stamp >= ? AND stamp < ?)"
            bounds: list[Any] = [join.start, join.end]
            bounds += [stamp_of(join.start), stamp_of(join.end)]
        else:
            window, bounds = "observed >= ? AND observed < ?", [join.start, join.end]
        of = ""
        if join.version is not None:
            of, bounds = " AND starts_with(o.id, ?)", [*bounds, f"{join.model}:{join.version}:"]
        ((count,),) = self._fetch(
            f"SELECT count(*) FROM o WHERE {window}{of}"  # noqa: S608
            " AND NOT EXISTS (SELECT 1 FROM p WHERE p.served = o.id)"
            " AND NOT EXISTS (SELECT 1 FROM named n WHERE n.outcome = o.id)",
            bounds,
        )
        return int(count)

    def _joined(
        self,
        join: Join,
        version: str,
        shadow: bool,
        counted: tuple[int, float],
        matched: tuple[int, float],
    ) -> Joined:
        share = min(1.0, MAX_ROWS / matched[0]) if matched[0] else 1.0
        some = ""
        if share < 1.0:
            some = f" AND hash(id) % {_SHARES} < {round(share * _SHARES)}"
        values = "".join(
            f", json_extract(inputs, ?) AS input_{place}" for place in range(len(join.inputs))
        )
        paths = [f'$."{label}"' for label in join.inputs]
        rows: dict[str, Any] = self._execute(
            "SELECT label, value, true_label, true_value, probability,"  # noqa: S608
            " CASE WHEN probabilities IS NOT NULL THEN CAST(probabilities AS DOUBLE[]) END AS many,"
            " weight, moment, CASE WHEN entity IS NULL THEN 0 ELSE hash(entity) END AS whom"
            f"{values} FROM j WHERE version = ? AND shadow = ?{some}"
            " ORDER BY moment, id",
            [*paths, version, shadow],
        ).fetchnumpy()
        return Joined(
            version=version,
            shadow=shadow,
            logged=counted[0],
            predictions=float(counted[1]),
            outcomes=matched[0],
            matched=float(matched[1]),
            share=share,
            label=_texts(rows["label"]),
            value=_numbers(rows["value"]),
            true_label=_texts(rows["true_label"]),
            true_value=_numbers(rows["true_value"]),
            probability=_numbers(rows["probability"]),
            probabilities=_texts(rows["many"]),
            weight=_numbers(rows["weight"]) / share,
            at=np.asarray(rows["moment"], np.int64),
            inputs={
                label: _texts(rows[f"input_{place}"]) for place, label in enumerate(join.inputs)
            },
            entity=np.asarray(rows["whom"], np.uint64),
            periods=self._periods(join, version, shadow),
            entities=self._entities(join, version, shadow),
        )

    def _periods(self, join: Join, version: str, shadow: bool) -> dict[int, float]:
        if join.unit is None or join.by == "observed":
            return {}
        found = self._fetch(
            "SELECT made // ?, sum(weight) FROM p WHERE made >= ? AND made < ? AND version = ?"
            " AND shadow = ? GROUP BY ALL",
            [join.unit, join.start, join.end, version, shadow],
        )
        return {int(number): float(weight) for number, weight in found}

    def _entities(self, join: Join, version: str, shadow: bool) -> int:
        if join.since is None:
            return 0
        ((count,),) = self._fetch(
            "SELECT count(DISTINCT entity) FROM p WHERE made >= ? AND made < ? AND version = ?"
            " AND shadow = ?",
            [join.since, join.end, version, shadow],
        )
        return int(count)

    def _execute(self, query: str, values: Sequence[Any] = ()) -> Any:
        return self._database.execute(query, list(values))

    def _fetch(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self._execute(query, values).fetchall()
        return found


_LATEST: Final = "_write_time DESC, _request_id DESC, _row DESC"


def _numbers(values: Any) -> NDArray[np.float64]:
    """A column as float64, NaN where it is NULL."""
    found = np.array(np.ma.getdata(values), np.float64)
    found[np.ma.getmaskarray(values)] = np.nan
    return found


def _texts(values: Any) -> NDArray[Any]:
    """A column as objects, ``None`` where it is NULL."""
    found = np.array(np.ma.getdata(values), object)
    found[np.ma.getmaskarray(values)] = None
    return found
