"""Real-time predictions: ``POST /predict/{model_name}`` and the Open Inference Protocol V2."""

from __future__ import annotations

import os
from time import perf_counter
from typing import Annotated

from pydantic import Field

from neuralstream_core.serving.requests import PredictAnswer, PredictBody, answer_json
from neuralstream_core.types import Name, Query
from neuralstream_lambda.api import Answer, Api
from neuralstream_lambda.scopes import Scope
from neuralstream_lambda.serving import ServingSettings, engine

api = Api("predict")
settings = ServingSettings.from_env(os.environ)


class ModelPath(Query):
    model_name: Annotated[Name, Field(description="the model")]


DEGRADED = {"x-neuralstream-degraded": "feature-defaults"}
"""Set when the online store was down and the model's declared defaults were used."""


@api.route("POST /predict/{model_name}", Scope.PREDICT, answer=PredictAnswer)
def predict(path: ModelPath, body: PredictBody) -> Answer:
    """Predict for one entity: its features are fetched, its version is chosen, the answer is counted."""
    started = perf_counter()
    prediction = engine(settings).predict(
        path.model_name,
        body.entity_id,
        feature_view=body.feature_view,
        entities=body.entities,
        features=body.features,
        version=body.version,
        started=started,
    )
    return Answer(
        answer_json(prediction, features=body.return_features),
        headers=DEGRADED if prediction.degraded else {},
    )


lambda_handler = api.handler
