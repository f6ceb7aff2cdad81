"""The two feature views of the history that hold predictions and outcomes.

No user can name them: names of views start with a letter or a digit. They are not in the catalog, so nothing
lists, rebuilds or compares them; whoever looks up the view of a generation looks here first.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from neuralstream_core.features.schema import Feature, FeatureView
from neuralstream_core.features.values import Dtype
from neuralstream_core.time import EPOCH

__all__ = ["OUTCOMES", "PREDICTIONS", "internal_views"]

PREDICTIONS: Final = "_predictions"
"""One row per logged prediction; its entity is the prediction's id, its event time when it was predicted."""
OUTCOMES: Final = "_outcomes"
"""One row per label that came in; its event time is when the label was observed, so a later one corrects an
earlier one. Its entity is the prediction's id, or, for a label that names entity and time in its place,
``{model}\\n{predicted_at in microseconds}\\n{entity}``."""

_PREDICTION: Final = (
    ("model", Dtype.STRING, ""),
    ("version", Dtype.STRING, ""),
    ("label", Dtype.STRING, "class label as text; NULL of a regressor"),
    ("value", Dtype.FLOAT64, "value of a regressor, or a label that is a number; else NULL"),
    ("probability", Dtype.FLOAT64, "as the answer has it"),
    ("probabilities", Dtype.STRING, "of three or more classes: JSON list, in order of the classes"),
    ("entity", Dtype.STRING, "entity id of the request as text"),
    ("inputs", Dtype.STRING, "JSON object of the inputs, of a model that logs features"),
    ("weight", Dtype.FLOAT64, "1 / sample: how many predictions this one stands for"),
    ("shadow", Dtype.BOOL, "of a version that was asked beside the one that answered"),
    ("of", Dtype.STRING, "of a shadow: id of the prediction that was answered"),
)
_OUTCOME: Final = (
    ("model", Dtype.STRING, ""),
    ("label", Dtype.STRING, "a label that is text; else NULL"),
    ("value", Dtype.FLOAT64, "a label that is a number or a boolean; else NULL"),
    ("entity", Dtype.STRING, "entity id, of an outcome without a prediction id"),
    ("predicted_at", Dtype.TIMESTAMP, "time of the prediction, of one without a prediction id"),
)


@lru_cache(16)
def internal_views(namespace: str) -> Mapping[str, FeatureView]:
    """`PREDICTIONS` and `OUTCOMES` of a namespace, by name."""
    return {
        PREDICTIONS: _view(namespace, PREDICTIONS, "prediction_id", _PREDICTION),
        OUTCOMES: _view(namespace, OUTCOMES, "prediction_id", _OUTCOME),
    }


def _view(
    namespace: str, name: str, key: str, features: tuple[tuple[str, Dtype, str], ...]
) -> FeatureView:
    # Not validated: that would refuse the name. A generation of the catalog has 11 characters, this one more.
    return FeatureView.model_construct(
        name=name,
        keys=(key,),
        features=tuple(Feature(name=n, dtype=d, description=text) for n, d, text in features),
        generation=f"{namespace}{name}",
        created_at=EPOCH,
        updated_at=EPOCH,
    )
