"""Libraries that are installed as extras, imported when they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from neuralstream_client.errors import ConfigurationError

__all__ = ["extra"]


def extra(module: str, name: str) -> Any:
    """The module, for what only the extra ``name`` can do.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"this needs {module}: pip install 'neuralstream[{name}]'"
        ) from error
