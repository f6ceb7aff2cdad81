"""``ns.outcomes``: what became of predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from neuralstream_client._sync.transport import Transport
from neuralstream_client._sync.uploads import address_of
from neuralstream_client.answers import OutcomesAnswer, OutcomesJob
from neuralstream_client.call import Call
from neuralstream_client.errors import NeuralStreamError
from neuralstream_client.inputs import JobInput
from neuralstream_client.outcomes import OutcomesPlan, OutcomesReport
from neuralstream_client.progress import Progress, reporting
from neuralstream_client.tables import TableLike

__all__ = ["Outcomes"]


class Outcomes:
    """Outcomes of predictions.

    Of several outcomes of one prediction the one with the latest ``observed_at`` counts, so late and repeated
    ones correct earlier ones.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def send(
        self,
        data: TableLike,
        *,
        model: str,
        label: str = "label",
        prediction_id: str | None = None,
        entity: str | Sequence[str] | None = None,
        predicted_at: str = "predicted_at",
        observed_at: str | None = None,
        progress: Progress = False,
    ) -> OutcomesReport:
        """Send a table of outcomes; rows whose label is missing are not sent.

        Args:
            data: a list of dicts, a dict of columns, or a pandas, polars or Arrow table.
            model: the model that predicted.
            label: column of what was true.
            prediction_id: column of the ids of predictions; ``prediction_id`` when not given.
            entity: in its place: column, or columns, of entity ids.
            predicted_at: with ``entity``: column of the predictions' times, with a time zone. An outcome
                belongs to the last prediction for its entity up to then, at most 24 hours earlier.
            observed_at: column of the times at which outcomes became known; when not given, ``observed_at``
                if there is such a column, else the time of each request.
            progress: see `neuralstream_client.progress.Progress`.

        Raises:
            DataError: a column is missing, or a time has no zone.
            Invalid: rows are wrong; nothing of their request is kept. A note says where it began.
        """
        plan = OutcomesPlan(
            data,
            label=label,
            prediction_id=prediction_id,
            entity=entity,
            predicted_at=predicted_at,
            observed_at=observed_at,
        )
        rows, done, accepted, requests = plan.table.length, 0, 0, 0
        versions = Counter[str]()
        with reporting(progress, f"sending outcomes of {model}") as advance:
            for start, part in plan.chunks():
                if part:
                    body = {"model": model, "rows": part}
                    try:
                        answer = self._transport.fetch(
                            OutcomesAnswer, Call.once("POST", "/outcomes", body=body)
                        )
                    except NeuralStreamError as error:
                        error.add_note(f"in the rows from {start} on; {accepted} are kept")
                        raise
                    accepted += answer.accepted
                    versions.update(answer.versions)
                    requests += 1
                done += len(part)
                advance(done, rows)
        return OutcomesReport(model, rows, accepted, rows - done, dict(versions), requests)

    def submit(
        self,
        input: JobInput,  # noqa: A002 - the name of the API's field
        *,
        model: str,
        columns: Mapping[str, Any] | None = None,
        timezone: str | None = None,
        output: str | None = None,
        max_failed_fraction: float | None = None,
        allow_empty: bool = False,
        idempotency_key: str | None = None,
    ) -> OutcomesJob:
        """Start a job that takes outcomes in from a file, and return at once; ``ns.jobs.wait`` waits for it.

        Args:
            input: ``s3://bucket/key`` of a .csv, .jsonl or .parquet, or such a file on this disk.
            model: the model that predicted.
            columns: which column is what, where they are not named ``prediction_id``, ``label`` and
                ``observed_at``: the same names as keys; ``entity_id`` and ``predicted_at`` in place of ids.
            timezone: IANA name, for times without a zone.
            output: ``s3://bucket/folder/`` for the list of wrong rows.
            max_failed_fraction: the job fails when more than this share of its rows are wrong.
            allow_empty: a file without rows is a job well done.
            idempotency_key: asked for again with the same one, it is one; a new one when not given.

        Raises:
            Invalid: a location or another field is wrong.
        """
        body = {
            "model": model,
            "input": address_of(self._transport, input),
            "columns": None if columns is None else dict(columns),
            "timezone": timezone,
            "output": output,
            "max_failed_fraction": max_failed_fraction,
            "allow_empty": allow_empty or None,
        }
        given = {name: value for name, value in body.items() if value is not None}
        call = Call.once("POST", "/outcomes", body=given, idempotency_key=idempotency_key)
        return self._transport.fetch(OutcomesJob, call)
