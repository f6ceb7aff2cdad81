"""Libraries that are installed as extras, imported when they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from neuralstream_client.errors import ConfigurationError

__all__ = ["extra", "how_to_add"]


def extra(module: str, name: str) -> Any:
    """The module, for what only the extra ``name`` can do.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"this needs {module}: {how_to_add(name)}") from error


def how_to_add(name: str) -> str:
    """What installs the extra ``name``: the client is on no package index."""
    return f"pip install '.[{name}]' in a checkout, or '[{name}]' after the path of the wheel"
