"""The rows of a request by the version that answers them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from neuralstream_core.features.rows import Entity
from neuralstream_core.serving.deployments import Deployment, Deployments
from neuralstream_core.serving.models import Models
from neuralstream_core.serving.predictions import Group

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["grouped"]


def grouped(
    models: Models,
    deployments: Deployments,
    deployment: Deployment,
    pinned: str | None,
    entities: Sequence[Entity],
) -> tuple[list[Group], tuple[str, ...], NDArray[np.intp]]:
    """The rows of each version, the versions' names, and each row's index into them.

    Args:
        pinned: the version that the caller named.

    Raises:
        NotFound, Conflict, Unavailable: the version is not there, or cannot serve.
    """
    n = len(entities)
    if pinned is not None:
        servable = models.get(deployments.version(deployment, pinned))
        return [Group(servable, np.arange(n))], (pinned,), np.zeros(n, np.intp)
    assigner = deployment.assigner
    index: NDArray[np.intp] = assigner.many(entities)
    groups = [
        Group(models.get(deployment.versions[name]), rows)
        for place, name in enumerate(assigner.versions)
        if len(rows := np.flatnonzero(index == place))
    ]
    return groups, assigner.versions, index
