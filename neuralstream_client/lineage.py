"""Pages of a lineage as one."""

from __future__ import annotations

from collections.abc import Sequence

from neuralstream_client.answers import Edge, Graph, LineageAnswer, Node

__all__ = ["joined"]


def joined(pages: Sequence[LineageAnswer]) -> LineageAnswer:
    """All versions, events, nodes and edges, each once."""
    nodes: dict[str, Node] = {}
    edges: dict[tuple[str, str, str], Edge] = {}
    for page in pages:
        nodes |= {node.id: node for node in page.graph.nodes}
        edges |= {(edge.source, edge.target, edge.kind): edge for edge in page.graph.edges}
    return LineageAnswer(
        model=pages[0].model,
        versions=[version for page in pages for version in page.versions],
        events=[event for page in pages for event in page.events],
        graph=Graph(nodes=list(nodes.values()), edges=list(edges.values())),
    )
