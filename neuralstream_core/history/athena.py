"""The point-in-time join as Athena runs it: what `neuralstream_core.history.join` reads, in Trino's words.

``_at`` of a row is a text of event time, write time, request id and row, each as long as any or ended by the
lowest character, so texts sort as `neuralstream_core.history.schema.ORDER` does for the rows of an entity.
No number of a row would do: numbering all rows of the history is work of one machine.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from neuralstream_core.errors import Invalid
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.history.join import Lookup, join_text
from neuralstream_core.history.mode import Mode
from neuralstream_core.history.schema import feature_columns, written_column
from neuralstream_core.objects import Location
from neuralstream_core.parquet import quoted

__all__ = ["LABEL", "MAX_QUERY", "athena_query", "unload"]

LABEL: Final = "_label"
"""The first column of the result: which label a row is for."""
MAX_QUERY: Final = 240_000
"""Bytes of a statement as JSON. Athena takes 262,144, and so much is what Step Functions passes from one
state to the next, all in all."""
_TIME: Final = "lpad(CAST(1000000000000000000 + {} AS VARCHAR), 19, '0')"
_AT: Final = (
    f"concat({_TIME.format('_event_time')}, {_TIME.format('_write_time')}, _request_id, chr(1),"
    " lpad(CAST(_row AS VARCHAR), 10, '0'))"
)


def athena_query(
    database: str,
    labels: str,
    histories: Sequence[str],
    lookups: Sequence[Lookup],
    mode: Mode,
    outputs: Sequence[str],
) -> str:
    """The query: one row per label, in no order, with `LABEL` and the features.

    Args:
        database: of the catalog, with the tables.
        labels: the table with ``_label``, ``_time`` and what each lookup names as its entity.
        histories: the table of each lookup, with the columns of `neuralstream_core.history.schema`.
        outputs: names of the features in the result, in order; all of ``lookups``.
    """
    sources = [("labels", _labels(f"{quoted(database)}.{quoted(labels)}", lookups))]
    for number, (table, lookup) in enumerate(zip(histories, lookups, strict=True), 1):
        source = f"{quoted(database)}.{quoted(table)}"
        sources.append((f"history_{number}", _history(source, lookup)))
    text = join_text(lookups, mode, [LABEL], outputs)
    defined = ",\n".join(f"{name} AS (\n{select}\n)" for name, select in sources)
    return f"WITH {defined},\n{text.removeprefix('WITH ')}"


def unload(query: str, folder: Location) -> str:
    """The statement that writes the rows of a query as Parquet files into an empty folder.

    Raises:
        Invalid: it is longer than `MAX_QUERY`.
    """
    target = "'" + str(folder).replace("'", "''") + "'"
    text = f"UNLOAD (\nSELECT * FROM (\n{query}\n)\n)\nTO {target}\nWITH (format = 'PARQUET')"
    if len(json.dumps(text)) > MAX_QUERY:
        raise Invalid.at(
            "features",
            f"make a query of more than {MAX_QUERY} bytes for Athena: ask for fewer features at once",
            code="training_set_too_large",
        )
    return text


def _labels(source: str, lookups: Sequence[Lookup]) -> str:
    entities = ", ".join(dict.fromkeys(quoted(lookup.entity) for lookup in lookups))
    return f"SELECT _label, _time, {entities}, _label AS _c0 FROM {source}"  # noqa: S608 - names are quoted


def _history(source: str, lookup: Lookup) -> str:
    view: FeatureView = lookup.view
    features = [output.feature for outputs in lookup.classes for output in outputs]
    words = sorted({written_column(view.index[feature])[0] for feature in features})
    names = feature_columns(view)
    selected = [f"{_AT} AS _at", "_entity", "_event_time", "_write_time"]
    selected += [f"coalesce({word}, 0) AS {word}" for word in words]
    selected += [quoted(names[feature]) for feature in dict.fromkeys(features)]
    return f"SELECT {', '.join(selected)}\nFROM {source}"
