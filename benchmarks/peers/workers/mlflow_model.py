"""Save the booster as an MLflow model.

python mlflow_model.py MODEL_FILE TARGET_DIR
"""

import sys

import lightgbm
import mlflow.lightgbm

mlflow.lightgbm.save_model(lightgbm.Booster(model_file=sys.argv[1]), sys.argv[2])
