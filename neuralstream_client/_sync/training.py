"""``ns.training_sets``: labels joined to the features of their time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from neuralstream_client._sync.transport import Transport
from neuralstream_client._sync.uploads import address_of
from neuralstream_client.answers import TrainingSet
from neuralstream_client.call import Call, path
from neuralstream_client.errors import TrainingSetFailed
from neuralstream_client.inputs import JobInput
from neuralstream_client.tables import table_of
from neuralstream_client.training import MAX_LABELS, TrainingData, label_rows, with_features
from neuralstream_client.waiting import DONE, Pauses

__all__ = ["Mode", "TrainingSets"]

Mode: TypeAlias = Literal["as_of", "as_known"]


class TrainingSets:
    """Training sets of this key; with the scope ``monitoring``, of all keys."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        labels: JobInput,
        *,
        features: Sequence[str],
        timestamp: str,
        entity: Mapping[str, str] | None = None,
        mode: Mode = "as_of",
        input_format: Literal["csv", "parquet"] | None = None,
        output: str | None = None,
        idempotency_key: str | None = None,
    ) -> TrainingSet:
        """Ask for a training set and return at once.

        Args:
            labels: a table; or ``s3://bucket/key`` of a CSV or Parquet file, or such a file on this disk.
            features: ``view:feature``, ``view@role:feature`` or ``service:name@version``.
            timestamp: the column of each label's time, with a time zone.
            entity: the column of the ids by entity key or role; of the same name when not given.
            mode: ``as_of``: the newest value up to the label's time; ``as_known``: only of what had been
                written by then, too.
            input_format: when the extension of a file does not say.
            output: ``s3://bucket/folder/`` under which the result is written; the stack's own when not given.
            idempotency_key: asked for again with the same one, it is one; a new one when not given.

        Raises:
            Invalid: a feature, a column or a location is wrong; names each.
            DataError: the labels are no such table.
        """
        if isinstance(labels, (str, Path)) or table_of(labels).length > MAX_LABELS:
            address = address_of(self._transport, labels, input_format)
            given: dict[str, Any] = {"input": address, "input_format": input_format}
        else:
            given = {"rows": label_rows(labels)}
        body: dict[str, Any] = {
            "features": list(features),
            "labels": {name: value for name, value in given.items() if value is not None},
            "entity": dict(entity or {}),
            "timestamp": timestamp,
            "mode": mode,
        }
        if output is not None:
            body["output"] = output
        call = Call.once("POST", "/training-sets", body=body, idempotency_key=idempotency_key)
        return self._transport.fetch(TrainingSet, call)

    def get(self, training_set_id: str) -> TrainingSet:
        """One training set.

        Raises:
            NotFound: there is none of this id among the key's.
        """
        call = Call.of("GET", path("/training-sets/{}", training_set_id))
        return self._transport.fetch(TrainingSet, call)

    def wait(
        self,
        training_set: TrainingSet | str,
        *,
        timeout: float | None = None,
        poll_seconds: float = 2.0,
    ) -> TrainingSet:
        """Wait until a training set is made.

        Args:
            training_set: it, or its id.
            timeout: seconds to wait at most; no limit when not given.
            poll_seconds: the longest pause between two looks at it.

        Raises:
            TrainingSetFailed: it ended as FAILED.
            WaitTimeout: it is not done in time; it goes on.
        """
        name = training_set if isinstance(training_set, str) else training_set.training_set_id
        pauses = Pauses(name, timeout, poll_seconds)
        while True:
            record = self.get(name)
            if record.status in DONE:
                break
            time.sleep(pauses.next(record.status))
        if record.status == "FAILED":
            raise TrainingSetFailed(record)
        return record

    def fetch(self, labels: JobInput, record: TrainingSet) -> TrainingData:
        """The data of a finished training set beside its ``labels``.

        Args:
            labels: as they were given; of a file, the answer is a table with all of its columns.
            record: of `get` or `wait`; its address is valid for 15 minutes.

        Raises:
            ConfigurationError: the library for Parquet is not installed.
        """
        made = TrainingData(None, record)
        data = self._transport.download(record.download or "")
        return TrainingData(with_features(labels, made.features, data), record)
