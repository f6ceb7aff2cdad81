"""A history on the AWS emulation: rows are appended to the log, compacted, and read back by pyarrow."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.parquet as pq

from neuralstream_core.features import Catalog, Feature, FeatureView, GivenRows, ViewSpec
from neuralstream_core.features._codec import Codec
from neuralstream_core.history.compaction import Compacted, Compactor, view_lookup
from neuralstream_core.history.entries import FORGOTTEN, Part
from neuralstream_core.history.janitor import Janitor
from neuralstream_core.history.log import SLOT, HistoryLog
from neuralstream_core.history.manifest import Heads
from neuralstream_core.history.reader import History
from neuralstream_core.history.schema import BITS, feature_columns
from neuralstream_core.objects import Objects
from neuralstream_core.outcomes.views import internal_views
from neuralstream_core.table import Table
from tests.support.features import Clock

__all__ = ["HistoryHouse", "Record"]

Record = dict[str, Any]
SEAL = 3_000_000
"""Seconds, not minutes: a run asks for every slot since the last one, and nothing here is slow to arrive."""


class HistoryHouse:
    """The parts of a history in namespace ``test``, under one clock.

    Args:
        dynamodb, s3: clients of the emulation.
    """

    def __init__(
        self, dynamodb: Any, s3: Any, table: str, history_table: str, bucket: str, clock: Clock
    ) -> None:
        self.clock, self.bucket = clock, bucket
        self.registry = Table(dynamodb, table)
        self.history_table = Table(dynamodb, history_table, dependency="history")
        self.objects = Objects(s3)
        self.catalog = Catalog(self.registry, "test", clock)
        self.heads = Heads(self.history_table, "test")
        self.log = HistoryLog(
            self.history_table, lambda: self.objects, bucket, "test", clock, seal=SEAL
        )
        self.history = History(self.log, self.heads, self.objects, bucket, clock)

    def view(self, name: str = "user", **dtypes: Any) -> FeatureView:
        """Create or evolve a view with features of these dtypes; a tuple of dtype and length is a vector."""
        features = [
            Feature(name=feature, dtype=dtype[0], shape=[dtype[1]])
            if isinstance(dtype, tuple)
            else Feature(name=feature, dtype=dtype)
            for feature, dtype in dtypes.items()
        ]
        return self.catalog.put(name, ViewSpec(entity="id", features=features))[0]

    def part(self, view: FeatureView, request_id: str, rows: Sequence[Mapping[str, Any]]) -> Part:
        """Rows of one request, packed as the online store packs them."""
        codec = Codec(view, "test", 1000)
        packed = GivenRows(rows).pack(codec, self.clock())
        entities = [key.removeprefix(codec.prefix) for key in packed.keys]
        return Part(
            view.name, view.generation, view.schema_version, request_id, entities, packed.rows
        )

    def forget(self, view: FeatureView, entity: str, request_id: str) -> None:
        """Append that an entity was forgotten."""
        version = view.schema_version
        self.log.append(
            [Part(view.name, view.generation, version, request_id, [entity.encode()], [FORGOTTEN])]
        )

    def write(
        self, view: FeatureView, request_id: str, rows: Sequence[Mapping[str, Any]]
    ) -> list[Record]:
        """Append one request; answers the records that the history is to hold."""
        self.log.append([self.part(view, request_id, rows)])
        return [
            {
                "entity": row["entity_id"],
                "request": (request_id, i),
                "written_at": self.clock(),
                "schema_version": view.schema_version,
                "features": dict(row["features"]),
            }
            for i, row in enumerate(rows)
        ]

    def seal(self) -> None:
        """Let time pass until everything appended so far can be consumed."""
        self.clock.now += SLOT + SEAL

    def compactor(self, **options: Any) -> Compactor:
        """A compactor on these parts."""
        views = view_lookup(self.registry, "test", self.clock, internal_views("test"))
        return Compactor(
            self.log, self.heads, views, self.objects, self.bucket, self.clock, **options
        )

    def janitor(self, **options: Any) -> Janitor:
        """A janitor on these parts."""
        views = view_lookup(self.registry, "test", self.clock, internal_views("test"))
        parts = (self.heads, views, self.objects, self.bucket, self.clock)
        return Janitor(*parts, **{"tables": None, **options})

    def compact(self, **options: Any) -> Compacted:
        """Seal, and run once."""
        self.seal()
        return self.compactor(**options).run()

    def table(self, view: FeatureView) -> list[Record]:
        """All rows of the files of a view as pyarrow reads them, file after file, with their day."""
        found: list[Record] = []
        for file in self.history.snapshot(view).files:
            data = self.objects.read(self.history.location(file))
            rows = pq.read_table(io.BytesIO(data), partitioning=None).to_pylist()
            assert len(rows) == file.rows
            assert len(data) == file.bytes
            found += [row | {"day": file.date} for row in rows]
        return found

    def records(self, view: FeatureView) -> list[Record]:
        """The same in the form of `write`, in the order of the requests."""
        columns = feature_columns(view)
        found: list[Record] = []
        for row in self.table(view):
            written = {
                feature.name: row[columns[feature.name]]
                for i, feature in enumerate(view.features)
                if (row.get(f"_written_{i // BITS}") or 0) & (1 << i % BITS)
            }
            found.append(
                {
                    "entity": row["_entity"],
                    "request": (row["_request_id"], row["_row"]),
                    "written_at": row["_write_time"],
                    "schema_version": row["_schema_version"],
                    "features": written,
                }
            )
        return sorted(found, key=lambda record: record["request"])
