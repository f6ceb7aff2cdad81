"""Settings: frozen typed models read once from the environment, one model per function.

A field ``redis_host`` is read from ``NEURALSTREAM_REDIS_HOST``. A function composes the parts it needs::

    class Settings(RedisSettings, TableSettings): ...

    settings = Settings.from_env(os.environ)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import pydantic_settings
from pydantic import Field, ValidationError
from pydantic_settings import (
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

__all__ = [
    "BaseSettings",
    "BucketSettings",
    "HistorySettings",
    "RedisSettings",
    "StoreSettings",
    "TableSettings",
    "WriteSettings",
]

PREFIX = "NEURALSTREAM_"


class BaseSettings(pydantic_settings.BaseSettings):
    """What every function has."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    namespace: str = Field(default="default", pattern=r"^[a-z0-9-]{1,32}$")
    """Separates tenants or stages that share a cache: the first part of every key."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[pydantic_settings.BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments only: `from_env` says which environment is read."""
        return (init_settings,)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read and check the settings.

        Raises:
            RuntimeError: a variable is missing or malformed; names the variable, never its value.
        """
        source = EnvSettingsSource(cls)
        source.env_vars = {name.lower(): value for name, value in environ.items()}
        try:
            return cls(**source())
        except ValidationError as error:
            places = "; ".join(
                f"{PREFIX}{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors()
            )
            raise RuntimeError(f"bad settings: {places}") from None


class RedisSettings(BaseSettings):
    """Where the online store is and how long it may take."""

    redis_host: str = "127.0.0.1"
    redis_port: int = Field(default=6379, ge=1, le=65535)
    redis_tls: bool = False
    redis_cluster: bool = False
    redis_iam_user: str = ""
    """ElastiCache user for IAM authentication; empty: no authentication (laptop)."""
    redis_cache_name: str = ""
    """Name of the serverless cache, part of the signed IAM token."""
    redis_connect_timeout_ms: int = Field(default=250, ge=1, le=5000)
    redis_read_timeout_ms: int = Field(default=200, ge=1, le=5000)


class TableSettings(BaseSettings):
    """The DynamoDB table that holds views, models, versions, events and jobs."""

    table: str = Field(min_length=3, max_length=255)


class StoreSettings(RedisSettings, TableSettings):
    """What a function needs that reads or writes features."""


class BucketSettings(BaseSettings):
    """The S3 bucket that holds artifacts, baselines and job files."""

    data_bucket: str = Field(min_length=3, max_length=63)


class HistorySettings(BucketSettings):
    """Where the history is kept: a table and, for what is large, the data bucket."""

    history_table: str = Field(min_length=3, max_length=255)
    history_seal_ms: int = Field(default=180_000, ge=1_000, le=3_600_000)
    """How long after its end a minute of the log may still grow; all functions need the same."""


class WriteSettings(StoreSettings, HistorySettings):
    """What a function needs that writes features."""
