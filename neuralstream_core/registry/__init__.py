"""Models, versions, stages, traffic split and lineage."""
