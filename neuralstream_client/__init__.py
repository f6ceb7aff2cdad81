"""The Python client of NeuralStream.

::

    from neuralstream_client import NeuralStream

    ns = NeuralStream()  # NEURALSTREAM_URL, NEURALSTREAM_API_KEY
    ns.features.write(df, view="user_features")
    answer = ns.predict("churn_model", "user_123")

`NeuralStream` blocks, `AsyncNeuralStream` has the same methods as coroutines. Errors are in
`neuralstream_client.errors`, answers in `neuralstream_client.answers`.
"""

from neuralstream_client._async.client import AsyncNeuralStream
from neuralstream_client._sync.client import NeuralStream
from neuralstream_client.errors import ApiError, NeuralStreamError
from neuralstream_client.outcomes import OutcomesReport
from neuralstream_client.predictions import PredictionTable
from neuralstream_client.reading import FeatureTable
from neuralstream_client.reports import WriteReport
from neuralstream_client.retries import Retries
from neuralstream_client.services import FeatureService
from neuralstream_client.training import TrainingData
from neuralstream_client.version import __version__
from neuralstream_client.views import Feature, FeatureView

__all__ = [
    "ApiError",
    "AsyncNeuralStream",
    "Feature",
    "FeatureService",
    "FeatureTable",
    "FeatureView",
    "NeuralStream",
    "NeuralStreamError",
    "OutcomesReport",
    "PredictionTable",
    "Retries",
    "TrainingData",
    "WriteReport",
    "__version__",
]
