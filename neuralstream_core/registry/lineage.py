"""Where versions come from: as callers declare it, as it is answered, and as a graph.

Nodes and their ids::

    version   m@v3                 a model version
    dataset   name@digest          training data
    code      repo@commit          training code; @commit or its path where no repository is known
    view      users#3              a feature view at a schema version
    artifact  sha256:…             the bytes that are loaded

Edges point from a version to what it was made from: ``trained_on`` ``built_by`` ``reads``
``derived_from`` ``is`` (its artifact).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints, model_validator

from neuralstream_core.registry.records import (
    Digest,
    EventRecord,
    Format,
    Stage,
    VersionRecord,
    VersionStatus,
)
from neuralstream_core.types import Frozen, Name, Record, ShortText, VersionName

__all__ = [
    "Artifact",
    "Code",
    "Dataset",
    "Edge",
    "Graph",
    "Lineage",
    "LineageAnswer",
    "Node",
    "VersionLineage",
    "ViewUse",
    "graph_of",
    "lineage_of",
]

_NAMED = ("dataset", "code", "run_id", "parents")


ParentRef = Annotated[
    str, StringConstraints(pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]{0,127}@)?v[1-9][0-9]{0,8}$")
]


class Dataset(Frozen):
    """Training data."""

    name: ShortText
    digest: ShortText | None = None
    uri: ShortText | None = None
    start: AwareDatetime | None = None
    end: AwareDatetime | None = None


class Code(Frozen):
    """Training code, as far as it is known."""

    repo: ShortText | None = None
    commit: ShortText | None = None
    path: ShortText | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.repo is None and self.commit is None and self.path is None:
            raise ValueError("give repo, commit or path")
        return self


class Lineage(Frozen):
    """What a version was made from. Further fields are kept as they are."""

    model_config = ConfigDict(extra="allow")

    dataset: Dataset | Annotated[list[Dataset], Field(min_length=1, max_length=50)] | None = None
    code: Code | None = None
    run_id: ShortText | None = None
    parents: Annotated[list[ParentRef], Field(max_length=20)] = Field(default_factory=list)
    """Versions this one was derived from: ``v1`` of the same model or ``other@v3``."""


class ViewUse(Record):
    """A feature view as a version uses it."""

    view: Name
    schema_version: int
    features: list[str]


class Artifact(Record):
    """The bytes of a version."""

    digest: Digest
    format: Format
    size: int


class VersionLineage(Record):
    """What one version was made from."""

    version: VersionName
    status: VersionStatus
    stage: Stage
    created_at: AwareDatetime
    created_by: str
    artifact: Artifact
    datasets: list[dict[str, Any]] = Field(default_factory=list)
    code: dict[str, Any] | None = None
    run_id: str | None = None
    parents: list[str] = Field(default_factory=list)
    """As ``model@vN``."""
    feature_views: list[ViewUse] = Field(default_factory=list)
    params: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)
    further: dict[str, Any] = Field(default_factory=dict)
    """What else the caller put into ``lineage``."""


class Node(Record):
    id: str
    kind: Literal["version", "dataset", "code", "view", "artifact"]


class Edge(Record):
    """``source`` was made with ``target``."""

    source: str
    target: str
    kind: Literal["trained_on", "built_by", "reads", "derived_from", "is"]


class Graph(Record):
    """Each node once, however many versions share it."""

    nodes: list[Node]
    edges: list[Edge]


class LineageAnswer(Record):
    """``GET /models/{name}/lineage``: both lists in order of time, each with its own next page."""

    model: Name
    versions: list[VersionLineage]
    events: list[EventRecord]
    graph: Graph
    next_token: str | None = None
    next_events_token: str | None = None


def lineage_of(version: VersionRecord) -> VersionLineage:
    """The ingredients of one version."""
    given = version.lineage
    dataset = given.get("dataset")
    views = [
        ViewUse(
            view=name,
            schema_version=held.schema_version,
            features=[ref.feature for ref in version.features if ref.view == name],
        )
        for name, held in version.feature_views.items()
    ]
    return VersionLineage(
        version=version.version,
        status=version.status,
        stage=version.stage,
        created_at=version.created_at,
        created_by=version.created_by,
        artifact=Artifact(digest=version.digest, format=version.format, size=version.size),
        datasets=dataset if isinstance(dataset, list) else [dataset] if dataset else [],
        code=given.get("code"),
        run_id=given.get("run_id"),
        parents=[
            parent if "@" in parent else f"{version.model}@{parent}"
            for parent in given.get("parents", ())
        ],
        feature_views=views,
        params=version.params,
        metrics=version.metrics,
        further={name: value for name, value in given.items() if name not in _NAMED},
    )


def graph_of(model: str, versions: Iterable[VersionLineage]) -> Graph:
    """The graph of ``versions`` of ``model``."""
    nodes: dict[str, Node] = {}
    edges: list[Edge] = []
    for version in versions:
        me = f"{model}@{version.version}"
        nodes[me] = Node(id=me, kind="version")
        for target, node_kind, edge_kind in _ingredients(version):
            nodes.setdefault(target, Node(id=target, kind=node_kind))
            edges.append(Edge(source=me, target=target, kind=edge_kind))
    return Graph(nodes=list(nodes.values()), edges=edges)


def _ingredients(version: VersionLineage) -> Iterable[tuple[str, Any, Any]]:
    for dataset in version.datasets:
        yield _at(dataset["name"], dataset.get("digest")), "dataset", "trained_on"
    if version.code is not None:
        yield _code(version.code), "code", "built_by"
    for use in version.feature_views:
        yield f"{use.view}#{use.schema_version}", "view", "reads"
    for parent in version.parents:
        yield parent, "version", "derived_from"
    yield f"sha256:{version.artifact.digest}", "artifact", "is"


def _code(code: dict[str, Any]) -> str:
    repo, commit = code.get("repo"), code.get("commit")
    if repo is None and commit is None:
        return str(code["path"])
    return _at(repo or "", commit)


def _at(name: str, mark: str | None) -> str:
    return name if mark is None else f"{name}@{mark}"
