"""The asynchronous client of one NeuralStream stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx

from neuralstream_client._async.features import AsyncFeatures
from neuralstream_client._async.jobs import AsyncJobs
from neuralstream_client._async.keys import AsyncKeys
from neuralstream_client._async.model_logging import AsyncModelLogger
from neuralstream_client._async.models import AsyncModels
from neuralstream_client._async.monitoring import AsyncMonitoring
from neuralstream_client._async.outcomes import AsyncOutcomes
from neuralstream_client._async.schedules import AsyncSchedules
from neuralstream_client._async.services import AsyncServices
from neuralstream_client._async.training import AsyncTrainingSets, Mode
from neuralstream_client._async.transport import AsyncTransport
from neuralstream_client.answers import Health, PredictAnswer
from neuralstream_client.call import Call, path
from neuralstream_client.inputs import JobInput
from neuralstream_client.predictions import MAX_PREDICTIONS, PredictionTable, RowsToPredict
from neuralstream_client.progress import Progress, reporting
from neuralstream_client.retries import Retries
from neuralstream_client.settings import Settings
from neuralstream_client.tables import TableLike
from neuralstream_client.training import TrainingData
from neuralstream_client.wire import PredictedPart, predicted_part

if TYPE_CHECKING:
    from neuralstream_client.log_model import Logged

__all__ = ["AsyncNeuralStream"]


class AsyncNeuralStream:
    """The asynchronous client of one stack.

    Keep one and use it for all calls, so that connections are reused.

    ::

        async with AsyncNeuralStream() as ns:
            answer = await ns.predict("churn_model", "user_123")

    Args:
        url: of the stack; ``NEURALSTREAM_URL`` when not given.
        api_key: ``NEURALSTREAM_API_KEY`` when not given.
        timeout: of one attempt in seconds, or httpx's own.
        retries: how often a call that is safe to repeat is sent again, or `Retries`.
        http: a client of httpx to use; it is not closed with this one.

    Raises:
        ConfigurationError: no address of a stack is given.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float | httpx.Timeout | None = None,
        retries: int | Retries | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        settings = Settings.of(url, api_key, timeout=timeout, retries=retries)
        self._owned = http is None
        self._use(AsyncTransport(settings, http or httpx.AsyncClient()))

    def _use(self, transport: AsyncTransport) -> None:
        self._transport = transport
        self.features = AsyncFeatures(transport)
        self.services = AsyncServices(transport)
        self.models = AsyncModels(transport)
        self.jobs = AsyncJobs(transport)
        self.schedules = AsyncSchedules(transport)
        self.monitoring = AsyncMonitoring(transport)
        self.outcomes = AsyncOutcomes(transport)
        self.keys = AsyncKeys(transport)
        self.training_sets = AsyncTrainingSets(transport)

    @property
    def url(self) -> str:
        """Address of the stack."""
        return self._transport.settings.url

    @property
    def has_api_key(self) -> bool:
        """Whether calls carry an API key."""
        return self._transport.settings.api_key is not None

    def with_options(
        self,
        *,
        timeout: float | httpx.Timeout | None = None,
        retries: int | Retries | None = None,
    ) -> Self:
        """A client over the same connections with another timeout (seconds) or other retries.

        ``ns.with_options(timeout=2, retries=0).predict(…)``. Closing it closes nothing.
        """
        other = object.__new__(type(self))
        other._owned = False
        settings = self._transport.settings.with_options(timeout=timeout, retries=retries)
        other._use(AsyncTransport(settings, self._transport.http))
        return other

    async def predict(
        self,
        model: str,
        entity_id: Any = None,
        *,
        features: Mapping[str, Any] | None = None,
        feature_view: str | None = None,
        entities: Mapping[str, Any] | None = None,
        version: str | None = None,
        return_features: bool = False,
    ) -> PredictAnswer:
        """One prediction.

        Args:
            model: the model.
            entity_id: text or a whole number; for a composite entity a list, or a dict by key; for a model
                with roles a dict by role. May be left out if ``features`` has every input, or ``entities``
                every role.
            features: values of the request, and values that replace the store's.
            feature_view: the view that ``entity_id`` belongs to.
            entities: further ids by entity key or role.
            version: pins a version.
            return_features: also answer what the model saw.

        Raises:
            Invalid: features are missing, or of the wrong type.
            Conflict: nothing is in production.
        """
        body = {
            "entity_id": entity_id,
            "features": features,
            "feature_view": feature_view,
            "entities": entities,
            "version": version,
            "return_features": return_features or None,
        }
        given = {name: value for name, value in body.items() if value is not None}
        call = Call.of("POST", path("/predict/{}", model), body=given, repeatable=True)
        return await self._transport.fetch(PredictAnswer, call)

    async def predict_many(
        self,
        model: str,
        data: TableLike,
        *,
        entity_id: str | Sequence[str] | None = None,
        entities: Sequence[str] = (),
        features: Sequence[str] | None = None,
        feature_view: str | None = None,
        version: str | None = None,
        progress: Progress = False,
    ) -> PredictionTable:
        """Predictions for many entities; a row that fails has its error and does not affect the others.

        Args:
            model: the model.
            data: a list of entity ids, or a table with a column of them and of values for the request.
            entity_id: that column, or the columns of a composite entity; ``entity_id`` when not given.
            entities: columns of further ids, each named like its entity key or role. Without a column of
                entity ids these are the entity, such as ``entities=["origin", "destination"]``.
            features: columns to send; all others when not given.
            feature_view: the view that the entity ids belong to.
            version: pins a version.
            progress: see `neuralstream_client.progress.Progress`.

        Raises:
            DataError: a column is missing.
            Invalid: the request is wrong as a whole.
        """
        wanted = RowsToPredict(data, entity_id=entity_id, entities=entities, features=features)
        options = {"feature_view": feature_view, "version": version}
        parts: list[PredictedPart] = []
        total = wanted.table.length
        with reporting(progress, f"predicting {model}") as advance:
            for start in range(0, total, MAX_PREDICTIONS):
                body = wanted.body(start, min(total, start + MAX_PREDICTIONS), options)
                call = Call.of("POST", path("/predict/{}/batch", model), body=body, repeatable=True)
                parts.append(predicted_part(await self._transport.send(call)))
                advance(min(total, start + MAX_PREDICTIONS), total)
        return PredictionTable.of(model, wanted.entity_ids, parts)

    async def training_set(
        self,
        labels: JobInput,
        *,
        features: Sequence[str],
        timestamp: str,
        entity: Mapping[str, str] | None = None,
        mode: Mode = "as_of",
        output: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - of the job, which goes on
    ) -> TrainingData:
        """Labels with the features that were true, or known, at each label's time.

        ::

            made = await ns.training_set(labels, features=["user:age"], timestamp="bought_at")
            await ns.log_model("churn", model, made.frame[made.features], y, training_set=made.id)

        Args:
            labels: a pandas, polars or Arrow table, a list of dicts or a dict of columns; or
                ``s3://bucket/key`` of a CSV or Parquet file, or such a file on this disk.
            features: ``view:feature``, ``view@role:feature`` or ``service:name@version``.
            timestamp: the column of each label's time, with a time zone.
            entity: the column of the ids by entity key or role; of the same name when not given.
            mode: ``as_of``: the newest value up to the label's time; ``as_known``: only of what had been
                written by then, too, so that later backfills do not leak.
            output: ``s3://bucket/folder/`` under which the result is written; the stack's own when not given.
            timeout: seconds to wait at most; no limit when not given.

        Raises:
            Invalid: a feature, a column or a location is wrong; names each.
            DataError: the labels are no such table.
            TrainingSetFailed: the labels turned out to be wrong, or it is too large.
            WaitTimeout: it is not done in time; it goes on.
        """
        asked = await self.training_sets.create(
            labels, features=features, timestamp=timestamp, entity=entity, mode=mode, output=output
        )
        made = await self.training_sets.wait(asked, timeout=timeout)
        return await self.training_sets.fetch(labels, made)

    async def log_model(
        self,
        name: str,
        model: Any,
        X: Any,  # noqa: N803 - the name that every library has for it
        y: Any = None,
        *,
        promote: bool = False,
        split: float | None = None,
        reason: str | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Logged:
        """Convert a fitted model, prove that what is served will be the model, and register it.

        Converting takes seconds of processor time and blocks.

        ::

            await ns.log_model("churn", pipeline, X, y, features="service:churn@2", promote=True)

        Args:
            name: of the model in the registry; created by its first version.
            model: fitted, of scikit-learn, LightGBM, XGBoost, CatBoost or torch; or ONNX as bytes, a
                ``ModelProto`` or a path; or ``coef``, ``intercept`` and ``classes`` of a linear model.
            X: rows of the training data: a pandas or polars frame, or an array.
            y: the labels of these rows.
            promote: put the version into production.
            split: the share of the traffic that it gets beside the versions in production, such as 0.1.
            reason: of the promotion or split, for the model's events.
            idempotency_key: of the registration.
            options: see `neuralstream_client.log_model.Options`: ``view``, ``features``, ``missing``,
                ``reference``, ``classes``, ``tolerance``, ``metrics``, ``tags`` and others.

        Raises:
            LogModelError: the columns do not fit the model or its features.
            ConversionError: the model has no export.
            ParityError: the export is not the model; names the worst rows. Nothing was uploaded.
            Invalid: the stack refused the version, with its reason.
            Conflict: a gate of the promotion is not met, or nothing is in production to share traffic with.
        """
        logger = AsyncModelLogger(self.features, self.services, self.models)
        logged: Logged = await logger.log(
            name,
            (model, X, y),
            options,
            promote=promote,
            split=split,
            reason=reason,
            idempotency_key=idempotency_key,
        )
        return logged

    async def health(self) -> Health:
        """Whether the stack and what it depends on answer."""
        return await self._transport.fetch(Health, Call.of("GET", "/health"))

    async def aclose(self) -> None:
        """Close the connections, unless they belong to someone else."""
        if self._owned:
            await self._transport.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
