"""``ns.log_model``: a fitted model to a version that serves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from neuralstream_client._sync.features import Features
from neuralstream_client._sync.models import Models
from neuralstream_client._sync.services import Services
from neuralstream_client.errors import ConfigurationError
from neuralstream_client.services import service_named

if TYPE_CHECKING:
    from neuralstream_client.log_model import Logged, Options

__all__ = ["ModelLogger"]


class ModelLogger:
    """Registers fitted models."""

    def __init__(self, features: Features, services: Services, models: Models) -> None:
        self._features = features
        self._services = services
        self._models = models

    def log(
        self,
        name: str,
        trained: tuple[Any, Any, Any],
        options: Mapping[str, Any],
        *,
        promote: bool,
        split: float | None,
        reason: str | None,
        idempotency_key: str | None,
    ) -> Logged:
        """See `NeuralStream.log_model`.

        Args:
            trained: the model, its rows and their labels.
            options: fields of `neuralstream_client.log_model.Options`.
        """
        from neuralstream_client.log_model import Logged, Options, prepare, views_of

        if promote and split is not None:
            raise ConfigurationError("promote gives a version all traffic, split a share: give one")
        if split is not None and not 0.0 < split < 1.0:
            raise ConfigurationError("split is a share between 0 and 1")
        shares = None if split is None else self._shares(name)
        model, rows, labels = trained
        chosen = self._listed(Options(**options))
        if chosen.dtypes is None:
            dtypes: dict[str, str] = {}
            for view in views_of(chosen):
                declared = self._features.get(view)
                dtypes |= {f"{view}:{one.name}": one.dtype for one in declared.features}
            chosen = chosen.with_dtypes(dtypes)
        prepared = prepare(model, rows, labels, chosen)
        record = self._models.register(
            name, prepared.body, prepared.artifact, idempotency_key=idempotency_key
        )
        version = record.version
        if promote:
            self._models.promote(name, version, reason=reason)
            record = self._models.version(name, version)
        if split is not None and shares is not None:
            weights = {other: share * (1.0 - split) for other, share in shares.items()}
            self._models.split(name, {**weights, version: split}, reason=reason)
        return Logged(name, version, record, prepared.report)

    def _listed(self, options: Options) -> Options:
        """The options with the features of the services that they name, at pinned versions."""
        from neuralstream_client.log_model import named_by

        services: dict[str, tuple[str, tuple[str, ...]]] = {}
        for text in named_by(options):
            if (named := service_named(text)) is not None:
                found = self._services.get(*named)
                pinned = f"service:{found.name}@{found.version}"
                services[text] = (pinned, tuple(found.features))
        return options.with_services(services) if services else options

    def _shares(self, name: str) -> dict[str, float]:
        """How the traffic is divided now."""
        model = self._models.get(name)
        if model.ab_split:
            return dict(model.ab_split)
        if model.production_version is None:
            raise ConfigurationError(
                f"nothing of {name} is in production to share the traffic with: give promote=True"
            )
        return {model.production_version: 1.0}
