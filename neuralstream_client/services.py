"""Feature services as they are declared, and how features and services are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from neuralstream_client.answers import ServiceAnswer
from neuralstream_client.errors import DataError
from neuralstream_client.files import declared_in

__all__ = ["FeatureService", "ServiceLike", "service_named", "services_of", "without_role"]


class FeatureService(BaseModel):
    """A named list of features, which models and training sets share.

    Args:
        name: letters, digits, ``_``, ``.``, ``-``.
        features: ``view:feature`` or ``view@role:feature``, in the order in which models take them.
        description: for people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    features: list[str]
    description: str = ""

    @property
    def body(self) -> dict[str, Any]:
        """What ``PUT /feature-services/{name}`` takes."""
        return self.model_dump(exclude={"name"}, exclude_defaults=True)

    @classmethod
    def of(cls, spec: FeatureService | ServiceAnswer | Mapping[str, Any]) -> FeatureService:
        """From a dict, or from what the stack answered.

        Raises:
            DataError: a field is missing, unknown or of the wrong type.
        """
        if isinstance(spec, FeatureService):
            return spec
        fields = dict(spec)
        if isinstance(spec, ServiceAnswer):
            fields = spec.model_dump(include=set(cls.model_fields))
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise DataError(
                f"the feature service {fields.get('name', '')!r} is wrong: {error}"
            ) from error


ServiceLike: TypeAlias = FeatureService | ServiceAnswer | Mapping[str, Any]


def services_of(given: ServiceLike | Sequence[ServiceLike] | str | Path) -> list[FeatureService]:
    """Services from what `apply` takes; a path is a YAML or JSON file of one service, a list, or
    ``services: […]``.

    Raises:
        ConfigurationError: the file is YAML and PyYAML is not installed.
        DataError: a service is wrong, or the file cannot be read.
    """
    if isinstance(given, (str, Path)):
        return services_of(declared_in(Path(given)))
    if isinstance(given, Mapping) and isinstance(listed := given.get("services"), Sequence):
        return [FeatureService.of(service) for service in listed]
    if isinstance(given, (FeatureService, ServiceAnswer, Mapping)):
        return [FeatureService.of(given)]
    return [FeatureService.of(service) for service in given]


def service_named(text: str) -> tuple[str, int | None] | None:
    """Name and version of ``service:name@version``; ``None`` for the name of a feature.

    Raises:
        DataError: the version is no number.
    """
    if not text.startswith("service:"):
        return None
    name, _, version = text.removeprefix("service:").partition("@")
    if not name or (version and not version.isdigit()):
        raise DataError(f"{text!r} is not of the form service:name@2")
    return name, int(version) if version else None


def without_role(label: str) -> str:
    """``view:feature`` of ``view@role:feature``."""
    view, colon, feature = label.partition(":")
    return f"{view.partition('@')[0]}{colon}{feature}"
