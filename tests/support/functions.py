"""A function's app.py as the tests load it: through the laptop stack's own loader."""

from collections.abc import Mapping
from types import ModuleType

from neuralstream_local.children import ROOT
from neuralstream_local.functions import load
from neuralstream_local.template import Function

__all__ = ["load_function"]


def load_function(folder: str, environ: Mapping[str, str] | None = None) -> ModuleType:
    """``functions/{folder}/app.py`` as a fresh module.

    Its settings are read from ``environ`` on top of the present environment.
    """
    function = Function(
        logical_id=folder, name=folder, folder=ROOT / "functions" / folder, module="app",
        attribute="lambda_handler", environ=environ or {}, timeout=30, memory=1769,
    )  # fmt: skip
    return load(function)
