"""Files of what is declared: YAML or JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic_core import from_json

from neuralstream_client.errors import DataError
from neuralstream_client.extras import extra

__all__ = ["declared_in"]


def declared_in(path: Path) -> Any:
    """What a file holds; JSON if its name ends in ``.json``, else YAML.

    Raises:
        ConfigurationError: the file is YAML and PyYAML is not installed.
        DataError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    try:
        if path.suffix == ".json":
            return from_json(text)
        yaml = extra("yaml", "yaml")
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise DataError(f"{path} is no YAML: {error}") from error
    except ValueError as error:
        raise DataError(f"{path} is no JSON: {error}") from error
