"""What the feature store answers, as JSON has it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    Field,
    WithJsonSchema,
)
from pydantic_core import to_json
from typing_extensions import TypedDict

from neuralstream_core.features.entity import entity_json
from neuralstream_core.features.listing import FeatureService
from neuralstream_core.features.reads import ManyColumns, ManyRows
from neuralstream_core.features.rows import NEVER, CellStatus, Entity, Row, WriteResult
from neuralstream_core.features.schema import Feature, FeatureView
from neuralstream_core.features.services import ServicePage
from neuralstream_core.features.values import Dtype
from neuralstream_core.time import iso, to_micros
from neuralstream_core.types import FeatureValue

__all__ = [
    "BatchAnswer",
    "BatchRow",
    "ColumnsAnswer",
    "ForgetAnswer",
    "RowAnswer",
    "ServiceAnswer",
    "ServiceDeletion",
    "ServiceList",
    "ViewAnswer",
    "ViewDeletion",
    "ViewList",
    "WriteAnswer",
    "columns_json",
]

Values = Annotated[
    dict[str, FeatureValue],
    Field(description="value by feature name; null where the cell is NULL, EXPIRED or NOT_FOUND"),
]
EntityAnswer = Annotated[
    str | list[str],
    Field(description="as text; of a composite entity a list in the view's key order"),
]
ViewName = Annotated[str, Field(description="the feature view")]
_ABSENT = (CellStatus.NULL, CellStatus.EXPIRED, CellStatus.NOT_FOUND)
StatusMap = Annotated[
    dict[str, Annotated[str, WithJsonSchema({"enum": ["NULL", "EXPIRED", "NOT_FOUND"]})]],
    Field(description="NULL, EXPIRED or NOT_FOUND, for every feature that is not present"),
]
EventTime = Annotated[
    str | None, Field(description="newest event time among these features; null if there is none")
]


def _absent(value: object) -> bool:
    """Whether an optional field is left out of the answer."""
    return value is None


class FeatureAnswer(BaseModel):
    """One column of a view."""

    name: str = Field(description="unique in its view")
    dtype: Dtype = Field(description="type of its values")
    shape: list[int] | None = Field(
        default=None,
        exclude_if=_absent,
        description="`[n]`: a vector of n numbers; left out for one value",
    )
    description: str | None = Field(
        default=None, exclude_if=_absent, description="for people; left out when empty"
    )
    default: FeatureValue = Field(
        default=None,
        exclude_if=_absent,
        description="what models with `missing: default` get; left out if there is none",
    )

    @classmethod
    def of(cls, feature: Feature) -> FeatureAnswer:
        return cls(
            name=feature.name,
            dtype=feature.dtype,
            shape=None if feature.shape is None else list(feature.shape),
            description=feature.description or None,
            default=feature.default,
        )


class ViewAnswer(BaseModel):
    """A feature view."""

    name: str = Field(description="unique in the stack")
    entity: str | list[str] = Field(
        description="the entity's key, or the keys of a composite entity in order"
    )
    features: list[FeatureAnswer] = Field(description="its columns, in the order of declaration")
    ttl_seconds: int | None = Field(
        description="seconds after its event timestamp from which a value is EXPIRED; null: never"
    )
    history: bool = Field(description="whether every write is also kept in the history")
    history_complete: bool = Field(
        description="whether every row that is online is in the history: not if it was written while the view"
        " kept none, or by a release before 1.0, until `/features/views/{name}/adopt` has run"
    )
    description: str = Field(description="for people")
    owner: str = Field(description="person or team")
    tags: dict[str, str] = Field(description="text by key")
    schema_version: int = Field(description="1 at first, raised whenever features are added")
    created_at: str = Field(description="ISO 8601, UTC")
    updated_at: str = Field(description="ISO 8601, UTC")

    @classmethod
    def of(cls, view: FeatureView) -> ViewAnswer:
        return cls(
            name=view.name,
            entity=entity_json(view.keys[0] if len(view.keys) == 1 else view.keys),
            features=[FeatureAnswer.of(feature) for feature in view.features],
            ttl_seconds=view.ttl_seconds,
            history=view.history,
            history_complete=view.history_complete,
            description=view.description,
            owner=view.owner,
            tags=view.tags,
            schema_version=view.schema_version,
            created_at=view.created_at.isoformat().replace("+00:00", "Z"),
            updated_at=view.updated_at.isoformat().replace("+00:00", "Z"),
        )


class ViewList(BaseModel):
    """One page of views; ``next_token`` asks for the next one."""

    views: list[ViewAnswer] = Field(description="by name")
    next_token: str | None = Field(
        default=None,
        exclude_if=_absent,
        description="asks for the next page; left out on the last one",
    )


class ViewDeletion(BaseModel):
    """``deleting``: rows remain, repeat the request."""

    name: str = Field(description="the feature view")
    status: Literal["deleted", "deleting"] = Field(
        description="deleting: rows remain; repeat the request until it is deleted"
    )
    rows_removed: int = Field(description="rows removed by this request")


class ServiceAnswer(BaseModel):
    """A version of a feature service."""

    name: str = Field(description="unique among the feature services of the stack")
    version: int = Field(
        description="1 at first; a changed list makes the next one, and numbers are never used again"
    )
    features: list[str] = Field(
        description="`view:feature` or `view@role:feature`, in the order in which models take them"
    )
    description: str = Field(description="for people")
    created_at: str = Field(description="of this version, ISO 8601, UTC")

    @classmethod
    def of(cls, service: FeatureService) -> ServiceAnswer:
        return cls(
            name=service.name,
            version=service.version,
            features=list(service.features),
            description=service.description,
            created_at=iso(to_micros(service.created_at)),
        )


class ServiceList(BaseModel):
    """One page of feature services; ``next_token`` asks for the next one."""

    services: list[ServiceAnswer] = Field(description="by name, each at its newest version")
    next_token: str | None = Field(
        default=None,
        exclude_if=_absent,
        description="asks for the next page; left out on the last one",
    )

    @classmethod
    def of(cls, page: ServicePage) -> ServiceList:
        services = [ServiceAnswer.of(service) for service in page.services]
        return cls(services=services, next_token=page.next_token)


class ServiceDeletion(BaseModel):
    """The service is gone; model versions that were registered with it keep their features."""

    name: str = Field(description="the feature service")
    version: int = Field(description="its newest version; put again, it goes on with the next")


class ForgetAnswer(BaseModel):
    """An entity that is forgotten."""

    feature_view: ViewName
    entity_id: EntityAnswer
    found: bool = Field(description="whether it had values online")


class WriteAnswer(BaseModel):
    """What became of the rows: ``written + stale`` is their number."""

    feature_view: ViewName
    written: Annotated[int, Field(description="rows of which at least one value was stored")]
    stale: Annotated[
        int, Field(description="rows all of whose values are older than the stored ones")
    ]
    stale_cells: Annotated[
        int | None,
        Field(
            exclude_if=_absent,
            description="older values in the written rows, which were not stored; absent if none",
        ),
    ] = None

    @classmethod
    def of(cls, view: str, result: WriteResult) -> WriteAnswer:
        return cls(
            feature_view=view,
            written=result.written,
            stale=result.stale,
            stale_cells=result.cells_stale or None,
        )


class BatchRow(TypedDict):
    """One entity's features."""

    entity_id: EntityAnswer
    features: Values
    status: StatusMap
    event_timestamp: EventTime


class RowAnswer(BaseModel):
    """One entity's features of one view."""

    feature_view: ViewName
    entity_id: EntityAnswer
    features: Values
    status: StatusMap
    event_timestamp: EventTime

    @classmethod
    def of(cls, read: ManyRows) -> RowAnswer:
        """The answer of a read of one entity.

        Raises:
            NotFound: it was never written.
        """
        row = read.only
        times = _timestamps(read.view, row.names)
        return cls.model_construct(
            feature_view=read.view.name, **_fields(read.entities[0], row, times)
        )


class BatchAnswer(BaseModel):
    """Rows in the order of the request, duplicates kept."""

    feature_view: ViewName
    results: list[BatchRow] = Field(description="one for each entity id of the request")

    @classmethod
    def of(cls, read: ManyRows) -> BatchAnswer:
        times = _timestamps(read.view, read.missing.names)
        results = [
            _fields(entity, read.missing if row is None else row, times)
            for entity, row in zip(read.entities, read.rows, strict=True)
        ]
        return cls.model_construct(feature_view=read.view.name, results=results)


class ColumnsAnswer(BaseModel):
    """The same in columns: row ``i`` of every list belongs to ``entity_ids[i]``."""

    feature_view: ViewName
    entity_ids: list[EntityAnswer] = Field(description="in the order of the request")
    columns: Annotated[
        dict[str, list[FeatureValue]],
        Field(
            description="the values of each feature, in the order asked for; null where there is none",
            examples=[{"age": [41, None, None], "score": [0.5, 0.25, None]}],
        ),
    ]
    status: Annotated[
        dict[str, dict[str, list[int]]],
        Field(
            description="by feature, the rows that are NULL, EXPIRED or NOT_FOUND; every other cell is "
            "present, and a feature that is present in every row is left out",
            examples=[{"age": {"NULL": [1], "NOT_FOUND": [2]}, "score": {"NOT_FOUND": [2]}}],
        ),
    ]
    event_timestamps: Annotated[
        list[str | None] | None,
        Field(
            description="newest event time of each row among these features, null if there is none; "
            "only if asked for"
        ),
    ] = None


def columns_json(read: ManyColumns) -> str:
    """The JSON of a `ColumnsAnswer`."""
    block = read.block
    columns: dict[str, list[Any]] = {}
    status: dict[str, dict[str, list[int]]] = {}
    complete = block.complete
    for at, name in enumerate(block.names):
        cells = block.columns[name].tolist()
        if read.view.feature(name).dtype is Dtype.TIMESTAMP:
            texts = {time: iso(time) for time in set(cells)}
            cells = [texts[time] for time in cells]
        if not complete and block.status[:, at].any():
            codes = block.status[:, at]
            for row in codes.nonzero()[0].tolist():
                cells[row] = None
            places = {code.name: (codes == code).nonzero()[0].tolist() for code in _ABSENT}
            status[name] = {code: rows for code, rows in places.items() if rows}
        columns[name] = cells
    answer: dict[str, Any] = {
        "feature_view": read.view.name,
        "entity_ids": read.entities,  # a composite one is a tuple, which JSON has as a list
        "columns": columns,
        "status": status,
    }
    if block.event_times is not None:
        times = block.event_times.tolist()
        known = {time: None if time == NEVER else iso(time) for time in set(times)}
        answer["event_timestamps"] = [known[time] for time in times]
    return to_json(answer, inf_nan_mode="null").decode()


def _timestamps(view: FeatureView, names: tuple[str, ...]) -> list[str]:
    return [name for name in dict.fromkeys(names) if view.feature(name).dtype is Dtype.TIMESTAMP]


def _fields(entity: Entity, row: Row, timestamps: list[str]) -> BatchRow:
    features = dict(zip(row.names, row.values, strict=True))
    for name in timestamps:
        if (value := features[name]) is not None:
            features[name] = iso(value)
    newest = row.event_time
    return {
        "entity_id": entity_json(entity),
        "features": features,
        "status": {
            name: status.name for name, status in zip(row.names, row.status, strict=True) if status
        },
        "event_timestamp": None if newest is None else iso(newest),
    }
