"""The feature store: views of features, written and read by entity in real time.

::

    catalog = Catalog(table, namespace, system_clock)
    store = OnlineStore(port, catalog, system_clock, namespace)
    catalog.put("user", ViewSpec(entity="user_id", features=[Feature(name="age", dtype="int64")]))
    store.write("user", [{"entity_id": "u1", "features": {"age": 41}}])
    store.read_one("user", "u1").values  # (41,)
"""

from __future__ import annotations

from neuralstream_core.features.catalog import Catalog, ViewPage, view_key
from neuralstream_core.features.entity import entity_json, parse_entity, parse_path
from neuralstream_core.features.rows import (
    BlockRead,
    CellStatus,
    Entity,
    Row,
    ViewRead,
    WriteResult,
    WriteRow,
)
from neuralstream_core.features.schema import Feature, FeatureView, ViewSpec
from neuralstream_core.features.store import DeleteProgress, OnlineStore
from neuralstream_core.features.values import Dtype, parse_time
from neuralstream_core.features.writes import Batch, GivenColumns, GivenRows

__all__ = [
    "Batch",
    "BlockRead",
    "Catalog",
    "CellStatus",
    "DeleteProgress",
    "Dtype",
    "Entity",
    "Feature",
    "FeatureView",
    "GivenColumns",
    "GivenRows",
    "OnlineStore",
    "Row",
    "ViewPage",
    "ViewRead",
    "ViewSpec",
    "WriteResult",
    "WriteRow",
    "entity_json",
    "parse_entity",
    "parse_path",
    "parse_time",
    "view_key",
]
