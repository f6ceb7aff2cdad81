"""``ns.features``: feature views, and rows written and read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from neuralstream_client._sync.jobs import InputFormat
from neuralstream_client._sync.transport import Transport
from neuralstream_client._sync.uploads import address_of
from neuralstream_client.answers import (
    AdoptJob,
    BackfillJob,
    ForgetAnswer,
    HistoryRow,
    RebuildJob,
    ViewAnswer,
    ViewDeletion,
)
from neuralstream_client.call import Call, given, path
from neuralstream_client.errors import Invalid, NeuralStreamError, RowsRefused
from neuralstream_client.inputs import JobInput
from neuralstream_client.progress import Advance, Progress, reporting
from neuralstream_client.reading import MAX_ENTITIES, FeatureTable, entity_list, grouped
from neuralstream_client.refusals import refused, refused_rows
from neuralstream_client.reports import WriteReport
from neuralstream_client.tables import TableLike
from neuralstream_client.views import FeatureView, ViewLike, views_of
from neuralstream_client.wire import (
    MAX_WRITE_BYTES,
    ReadPart,
    moment,
    path_entity,
    read_body,
    read_part,
    rows_per_request,
    write_body,
)
from neuralstream_client.writing import Chunk, WritePlan

__all__ = ["Features"]

_VIEW: Final = "/features/views/{}"


class Features:
    """Feature views and their rows."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._known: dict[str, FeatureView] = {}

    def apply(self, view: ViewLike | Sequence[ViewLike] | str | Path) -> tuple[ViewAnswer, ...]:
        """Create feature views, or add features to them. Applying a view again changes nothing.

        Args:
            view: a `FeatureView`, a dict, a list of them, or the path of a YAML or JSON file.

        Raises:
            Conflict: a view exists and differs in more than added features.
            DataError: a view is wrong, or the file cannot be read.
        """
        made = []
        for declared in views_of(view):
            call = Call.of("PUT", path(_VIEW, declared.name), body=declared.body)
            answer = self._transport.fetch(ViewAnswer, call)
            self._known[answer.name] = FeatureView.of(answer)
            made.append(answer)
        return tuple(made)

    def list(self, *, prefix: str = "", page_size: int = 100) -> Iterator[ViewAnswer]:
        """All feature views by name.

        Args:
            prefix: only those whose names begin with it.
            page_size: views per request.
        """
        query = {"limit": page_size, "prefix": prefix or None}
        return self._transport.pages("/features/views", "views", ViewAnswer.model_validate, query)

    def get(self, name: str) -> ViewAnswer:
        """One feature view.

        Raises:
            NotFound: there is none of this name.
        """
        return self._transport.fetch(ViewAnswer, Call.of("GET", path(_VIEW, name)))

    def delete(self, name: str) -> ViewDeletion:
        """Delete a feature view and all its rows.

        Raises:
            Conflict: a model version reads it.
            NotFound: there is none of this name.
        """
        self._known.pop(name, None)
        removed = 0
        while True:
            call = Call.of("DELETE", path(_VIEW, name))
            answer = self._transport.fetch(ViewDeletion, call)
            removed += answer.rows_removed
            if answer.status == "deleted":
                return answer.model_copy(update={"rows_removed": removed})

    def write(
        self,
        data: TableLike,
        *,
        view: str | FeatureView,
        entity: str | Sequence[str] | None = None,
        event_timestamp: str | None = None,
        features: Sequence[str] | None = None,
        on_invalid: Literal["raise", "skip"] = "raise",
        progress: Progress = False,
    ) -> WriteReport:
        """Write a table; the newest event time of each value wins, so writing a row again is safe.

        Args:
            data: a list of dicts (a feature that a row leaves out keeps its value), a dict of columns, or a
                pandas, polars or Arrow table. Missing values and NaN are written as NULL.
            view: its name; or the `FeatureView`, which saves looking it up.
            entity: column, or columns, of entity ids; the names of the view's keys when not given.
            event_timestamp: column of event times, with a time zone; the time of each request when not given.
            features: columns to write; all others when not given.
            on_invalid: ``skip`` writes the other rows and lists the refused ones in the report.
            progress: see `neuralstream_client.progress.Progress`.

        Raises:
            DataError: a column is missing, or no feature of the view; nothing was written.
            RowsRefused: rows are wrong; its ``report`` names them. Rows of earlier requests were written.
            ApiError: the stack refused otherwise; a note says how many rows had been written.
        """
        declared = view if isinstance(view, FeatureView) else self._view(view)
        plan = WritePlan(
            declared, data, entity=entity, event_timestamp=event_timestamp, features=features
        )
        report = WriteReport(declared.name, plan.table.length)
        with reporting(progress, f"writing {declared.name}") as advance:
            for chunk in plan.chunks(rows_per_request(declared.name, plan)):
                try:
                    report = self._write_chunk(chunk, report, on_invalid == "skip", advance)
                except NeuralStreamError as error:
                    if not isinstance(error, RowsRefused):
                        error.add_note(f"{report.written} rows had been written before")
                    raise
        return report

    def read(
        self,
        ids: Any,
        features: Sequence[str] | None = None,
        *,
        view: str | None = None,
        event_timestamps: bool = False,
        progress: Progress = False,
    ) -> FeatureTable:
        """Features of entities, in the order of ``ids``; an unknown entity is a row of NOT_FOUND.

        Args:
            ids: one id, a list, or a column of a frame; for a composite entity tuples or dicts by key.
            features: ``view:feature``, of one view or several; or bare names with ``view``.
            view: all its features are read when ``features`` is not given.
            event_timestamps: whether the table has them.
            progress: see `neuralstream_client.progress.Progress`.

        Raises:
            DataError: it is not clear which view is meant.
            Invalid: an id or a feature is wrong.
            NotFound: there is no such view.
        """
        wanted = entity_list(ids)
        groups = grouped(features, view)
        keys: tuple[str, ...] = ()
        table = FeatureTable((), wanted, {}, {}, {}, {})
        columns, status, times = table.columns, table.status, table.event_timestamps
        dtypes: dict[str, str] = {}
        vectors: set[str] = set()
        done = 0
        with reporting(progress, "reading features") as advance:
            for name, (names, qualified) in groups.items():
                declared = self._view(name, names)
                keys = keys or declared.keys
                kinds = {f.name: f for f in declared.features}
                shown = {n: f"{name}:{n}" if qualified else n for n in names or kinds}
                dtypes |= {shown[n]: kinds[n].dtype for n in shown if n in kinds}
                vectors |= {shown[n] for n in shown if n in kinds and kinds[n].shape}
                for label in shown.values():
                    columns[label] = []
                if event_timestamps:
                    times[name] = []
                for start in range(0, len(wanted), MAX_ENTITIES):
                    part = self._read_part(
                        name, wanted[start : start + MAX_ENTITIES], [*shown], event_timestamps
                    )
                    for n, label in shown.items():
                        columns[label] += part.columns[n]
                        cells = status.setdefault(label, {})
                        cells |= {start + i: s for i, s in part.status.get(n, {}).items()}
                    if event_timestamps:
                        times[name] += [moment(text) for text in part.event_timestamps]
                    done += min(MAX_ENTITIES, len(wanted) - start)
                    advance(done, len(wanted) * len(groups))
        for label, dtype in dtypes.items():
            if dtype == "timestamp":
                columns[label] = [moment(text) for text in columns[label]]
        return replace(
            table,
            keys=keys,
            status={label: cells for label, cells in status.items() if cells},
            dtypes=dtypes,
            vectors=frozenset(vectors),
        )

    def forget(self, view: str, entity: Any) -> ForgetAnswer:
        """Forget an entity: online at once, and in the history with its next compaction.

        Args:
            view: its name.
            entity: the id; of a composite entity the parts in key order.

        Returns:
            Whose ``found`` says whether it had values online; that it had none is no error.

        Raises:
            NotFound: there is no such view.
        """
        call = Call.of("DELETE", path("/features/{}/{}", view, path_entity(entity)))
        return self._transport.fetch(ForgetAnswer, call)

    def history(
        self,
        view: str,
        entity: Any,
        *,
        feature: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        page_size: int = 100,
    ) -> Iterator[HistoryRow]:
        """What was written of an entity, newest event time first, page after page.

        Args:
            view: its name.
            entity: the id; of a composite entity the parts in key order.
            feature: only writes that name it, and its value alone; all when not given.
            start, end: only event times from ``start`` up to and without ``end``; aware.

        Raises:
            NotFound: there is no such view.
            Conflict: it keeps no history.
        """
        times = {name: at.isoformat() for name, at in (("start", start), ("end", end)) if at}
        query = {"entity_id": path_entity(entity), "feature": feature, "limit": page_size, **times}
        where = path("/features/views/{}/history", view)
        return self._transport.pages(where, "rows", HistoryRow.model_validate, query)

    def rebuild(self, view: str, *, idempotency_key: str | None = None) -> RebuildJob:
        """Start a job that fills the online store from the history, and return at once.

        ``ns.jobs.wait`` waits for its end.

        Args:
            view: its name.
            idempotency_key: submitted again with the same one, it stays one job; a new one when not given.

        Raises:
            NotFound: there is no such view.
            Conflict: it keeps no history.
        """
        where = path("/features/views/{}/rebuild", view)
        call = Call.once("POST", where, idempotency_key=idempotency_key)
        return self._transport.fetch(RebuildJob, call)

    def adopt(self, view: str, *, idempotency_key: str | None = None) -> AdoptJob:
        """Start a job that takes what is online into the history, and return at once.

        For rows that were written by a release before 1.0, or while the view kept no history.
        ``ns.jobs.wait`` waits for its end.

        Args:
            view: its name.
            idempotency_key: submitted again with the same one, it stays one job; a new one when not given.

        Raises:
            NotFound: there is no such view.
            Conflict: it keeps no history.
        """
        where = path("/features/views/{}/adopt", view)
        call = Call.once("POST", where, idempotency_key=idempotency_key)
        return self._transport.fetch(AdoptJob, call)

    def backfill(
        self,
        view: str,
        *,
        input: JobInput,  # noqa: A002 - the name of the API's field
        timestamp: str,
        entity: str | Mapping[str, str] | None = None,
        features: Mapping[str, str] | None = None,
        input_format: InputFormat | None = None,
        timezone: str | None = None,
        empty: Literal["null", "skip"] = "null",
        output: str | None = None,
        max_failed_fraction: float | None = None,
        allow_empty: bool = False,
        idempotency_key: str | None = None,
    ) -> BackfillJob:
        """Start a job that writes a file's rows to a view and its history, and return at once;
        ``ns.jobs.wait`` waits for its end.

        Args:
            view: its name.
            input: ``s3://bucket/key`` of a CSV, JSONL or Parquet file; or such a file on this disk, or a
                table, which are sent to the stack first.
            timestamp: column of the event times.
            entity: column of the entity id, or of each entity key; columns of their names if not given.
            features: column by feature; every column named as a feature if not given.
            input_format: when the extension of the input does not say.
            timezone: IANA name, for times without a zone.
            empty: whether an empty cell writes NULL or leaves the feature as it is.
            output: ``s3://bucket/folder/`` for the list of wrong rows.
            max_failed_fraction: it fails when more than this share of its rows are wrong; 0.01 if not given.
            allow_empty: an input without rows is no failure.
            idempotency_key: submitted again with the same one, it stays one job; a new one when not given.

        Raises:
            Invalid: a location, column or another field is wrong.
            NotFound: there is no such view or file.
        """
        body = given(
            feature_view=view,
            input=address_of(self._transport, input, input_format),
            timestamp=timestamp,
            entity=entity,
            features=features,
            input_format=input_format,
            timezone=timezone,
            empty=empty,
            output=output,
            max_failed_fraction=max_failed_fraction,
            allow_empty=allow_empty or None,
        )
        call = Call.once("POST", "/features/backfill", body=body, idempotency_key=idempotency_key)
        return self._transport.fetch(BackfillJob, call)

    def _read_part(
        self, view: str, ids: Sequence[Any], names: Sequence[str], event_timestamps: bool
    ) -> ReadPart:
        body = read_body(view, ids, names, event_timestamps=event_timestamps)
        call = Call.of("POST", "/features/batch", body=body, repeatable=True)
        return read_part(self._transport.send(call))

    def _write_chunk(
        self, chunk: Chunk, report: WriteReport, skip: bool, advance: Advance
    ) -> WriteReport:
        """Write a chunk, in several requests if it is too large for one, or rows of it are refused."""
        if chunk.failures:
            report = refused(report, chunk.failures, skip)
            chunk = chunk.without({failure.row for failure in chunk.failures})
        waiting = [chunk]
        while waiting:
            part = waiting.pop()
            if not part.rows:
                continue
            body = write_body(report.view, part)
            if len(body) > MAX_WRITE_BYTES and len(part.rows) > 1:
                middle = len(part.rows) // 2
                waiting += [part.part(middle, len(part.rows)), part.part(0, middle)]
                continue
            call = Call.of("POST", "/features/write", body=body, repeatable=True)
            try:
                answer = self._transport.send(call)
            except Invalid as error:
                failures = refused_rows(error, part)
                if not failures:
                    raise
                report = refused(report, failures, skip, error)
                waiting.append(part.without({failure.row for failure in failures}))
                continue
            report = replace(
                report,
                written=report.written + answer["written"],
                stale=report.stale + answer["stale"],
                stale_cells=report.stale_cells + (answer.get("stale_cells") or 0),
                requests=report.requests + 1,
            )
            advance(report.written + report.stale + report.refused, report.rows)
        return report

    def _view(self, name: str, features: Sequence[str] | None = None) -> FeatureView:
        """The declared view; looked up again when it lacks a feature that is asked for."""
        known = self._known.get(name)
        if known is None or features is None or not set(features) <= known.dtypes.keys():
            known = self._known[name] = FeatureView.of(self.get(name))
        return known
