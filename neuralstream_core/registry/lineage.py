"""Where versions come from: as callers declare it, as it is answered, and as a graph.

Nodes and their ids::

    version   m@v3                 a model version
    dataset   name@digest          training data
    code      repo@commit          training code; @commit or its path where no repository is known
    view      users#3              a feature view at a schema version
    service   churn@2              a feature service that named the features
    artifact  sha256:…             the bytes that are loaded

Edges point from a version to what it was made from: ``trained_on`` ``built_by`` ``reads``
``named_by`` ``derived_from`` ``is`` (its artifact). The id of a service's node is ``service:churn@2``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints, model_validator

from neuralstream_core.registry.events import EventRecord
from neuralstream_core.registry.records import (
    Digest,
    Format,
    Stage,
    VersionRecord,
    VersionStatus,
)
from neuralstream_core.types import Frozen, Name, Record, SchemaOf, ShortText, VersionName

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

    name: ShortText = Field(description="at most 512 characters")
    digest: ShortText | None = Field(default=None, description="of its content, in any notation")
    uri: ShortText | None = Field(default=None, description="where it is, such as `s3://…`")
    start: AwareDatetime | None = Field(default=None, description="of the time it covers")
    end: AwareDatetime | None = Field(default=None, description="of the time it covers")


class Code(Frozen):
    """Training code, as far as it is known."""

    repo: ShortText | None = Field(default=None, description="address or name of the repository")
    commit: ShortText | None = Field(default=None, description="the revision in it")
    path: ShortText | None = Field(default=None, description="the file in it")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.repo is None and self.commit is None and self.path is None:
            raise ValueError("give repo, commit or path")
        return self


class Lineage(Frozen):
    """What a version was made from. Further fields are kept as they are."""

    model_config = ConfigDict(extra="allow")

    dataset: Dataset | Annotated[list[Dataset], Field(min_length=1, max_length=50)] | None = Field(
        default=None, description="training data, or several of them, at most 50"
    )
    code: Code | None = Field(default=None, description="what trained it")
    run_id: ShortText | None = Field(default=None, description="of an experiment tracker")
    parents: Annotated[list[ParentRef], Field(max_length=20)] = Field(
        default_factory=list,
        description="versions this one was derived from: `v1` of the same model or `other@v3`;"
        " they must exist; at most 20",
    )


class ViewUse(Record):
    """A feature view as a version uses it."""

    view: Name = Field(description="the feature view")
    schema_version: int = Field(description="when the version was registered")
    features: list[str] = Field(description="those that the model reads")
    roles: list[str] = Field(
        default_factory=list,
        description="of the entities that it is read for; empty: its own entity",
    )


class Artifact(Record):
    """The bytes of a version."""

    digest: Digest = Field(description="SHA-256, hexadecimal")
    format: Format = Field(description="how it is encoded")
    size: int = Field(description="bytes")


class VersionLineage(Record):
    """What one version was made from."""

    version: VersionName = Field(description="`v` and its number")
    status: VersionStatus = Field(description="whether it can serve")
    stage: Stage = Field(description="its present stage")
    created_at: AwareDatetime = Field(description="when it was registered, UTC")
    created_by: str = Field(description="principal of the API key")
    artifact: Artifact = Field(description="what is loaded")
    datasets: list[Annotated[dict[str, Any], SchemaOf(Dataset)]] = Field(
        default_factory=list, description="training data, as registered"
    )
    code: Annotated[dict[str, Any], SchemaOf(Code)] | None = Field(
        default=None, description="training code, as registered"
    )
    run_id: str | None = Field(default=None, description="of an experiment tracker")
    parents: list[str] = Field(
        default_factory=list, description="versions it was derived from, as `model@v3`"
    )
    feature_views: list[ViewUse] = Field(
        default_factory=list,
        description="what it reads, at the schema versions it was registered with",
    )
    feature_services: list[str] = Field(
        default_factory=list,
        description="the feature services that its features were named by, each as `name@2`",
    )
    params: dict[str, Any] = Field(
        default_factory=dict, description="training parameters, kept as the caller sent them"
    )
    metrics: dict[str, float] = Field(default_factory=dict, description="by name, as registered")
    further: dict[str, Any] = Field(
        default_factory=dict,
        description="what else the caller put into `lineage`, kept as it was sent",
    )


class Node(Record):
    """A version, or something a version was made from."""

    id: str = Field(
        description="`model@v3`, `dataset@digest`, `repo@commit`, `view#schema_version`, `service:name@2` or "
        "`sha256:…`"
    )
    kind: Literal["version", "dataset", "code", "view", "service", "artifact"] = Field(
        description="what it is"
    )


class Edge(Record):
    """``source`` was made with ``target``."""

    source: str = Field(description="id of a version's node")
    target: str = Field(description="id of the node of what it was made from")
    kind: Literal["trained_on", "built_by", "reads", "named_by", "derived_from", "is"] = Field(
        description="to data, code, a view, a feature service, a parent version, or its artifact (`is`)"
    )


class Graph(Record):
    """Each node once, however many versions share it."""

    nodes: list[Node] = Field(
        description="of the versions of this page and what they were made from"
    )
    edges: list[Edge] = Field(description="from versions to what they were made from")


class LineageAnswer(Record):
    """What versions were made from and what happened, in order of time, each list with its own next page."""

    model: Name
    versions: list[VersionLineage] = Field(description="what each was made from, the oldest first")
    events: list[EventRecord] = Field(description="what happened since, the oldest first")
    graph: Graph = Field(description="the versions of this page as a graph")
    next_token: str | None = Field(
        default=None, description="asks for the next page of versions; null on the last one"
    )
    next_events_token: str | None = Field(
        default=None, description="asks for the next page of events; null on the last one"
    )


def lineage_of(version: VersionRecord) -> VersionLineage:
    """The ingredients of one version."""
    given = version.lineage
    dataset = given.get("dataset")
    views = [
        ViewUse(
            view=name,
            schema_version=held.schema_version,
            features=list(
                dict.fromkeys(ref.feature for ref in version.features if ref.view == name)
            ),
            roles=sorted({ref.role for ref in version.features if ref.view == name and ref.role}),
        )
        for name, held in version.feature_views.items()
    ]
    parents = [
        parent if "@" in parent else f"{version.model}@{parent}"
        for parent in given.get("parents", ())
    ]
    return VersionLineage.model_validate(
        {
            **version.model_dump(exclude={"feature_views"}),
            "artifact": Artifact(digest=version.digest, format=version.format, size=version.size),
            "datasets": dataset if isinstance(dataset, list) else [dataset] if dataset else [],
            "code": given.get("code"),
            "run_id": given.get("run_id"),
            "parents": parents,
            "feature_views": views,
            "further": {name: value for name, value in given.items() if name not in _NAMED},
        }
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
    for service in version.feature_services:
        yield f"service:{service}", "service", "named_by"
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
