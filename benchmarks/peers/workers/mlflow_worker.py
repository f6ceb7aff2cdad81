"""MLflow's model logging: a fitted pipeline into a tracking store of its own, on the local disk.

python mlflow_worker.py FOLDER
"""

import sys
import time
from functools import partial
from pathlib import Path

import mlflow
import mlflow.sklearn
from mlflow.models import infer_signature
from workers._pipeline import fitted, lines_of, rows
from workers._protocol import serve

FOLDER = Path(sys.argv[1]).resolve()


def log_churn(log_model, pipeline, X, name):  # noqa: N803 - the name that every library has for it
    """What a user writes, up to the address that is served."""
    with mlflow.start_run():
        logged = log_model(
            pipeline,
            name="model",
            registered_model_name=name,
            signature=infer_signature(X, pipeline.predict(X)),
            input_example=X.head(5),
            skops_trusted_types=["numpy.dtype"],  # its error asked for this
        )
    return logged.model_uri


class Worker:
    def __init__(self):
        mlflow.set_tracking_uri(f"sqlite:///{FOLDER}/mlflow.db")
        mlflow.set_experiment(experiment_id=mlflow.create_experiment("bench", str(FOLDER / "runs")))
        self.table, labels = rows()
        self.pipeline = fitted(self.table, labels)

    def log(self, name, options):
        start = time.perf_counter()
        log_model = partial(mlflow.sklearn.log_model, **options)
        uri = log_churn(log_model, self.pipeline, self.table, name)
        return {"seconds": time.perf_counter() - start, "uri": uri}

    def facts(self):
        return {"version": mlflow.__version__, "lines": lines_of(__file__, "log_churn")}


worker = Worker()
serve({"log": worker.log, "facts": worker.facts})
