"""Models, versions, stages, traffic split and lineage.

Import from the modules: ``records`` (data), ``registry`` (`Registry`: queries and stage commands),
``registrar`` (`Registrar`: new versions), ``artifacts`` (`ArtifactStore`), ``attempts`` (`By`). The names
below are loaded on first use, so that serving's records do not pull in the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuralstream_core.registry.artifacts import ArtifactStore
    from neuralstream_core.registry.attempts import By
    from neuralstream_core.registry.registrar import Registrar
    from neuralstream_core.registry.registry import Registry, Routing

__all__ = ["ArtifactStore", "By", "Registrar", "Registry", "Routing"]

_HOME = {
    "ArtifactStore": "artifacts",
    "By": "attempts",
    "Registrar": "registrar",
    "Registry": "registry",
    "Routing": "registry",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
