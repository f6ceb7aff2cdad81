"""What to do about a model whose export is not the model, by family."""

from __future__ import annotations

from typing import Final

from neuralstream_client.log_model.members import of_lightgbm, parts_of
from neuralstream_client.log_model.sources import Source

__all__ = ["cure_of", "known_cure"]

_BY_FAMILY: Final = {
    "CalibratedClassifierCV": (
        "the converter computes isotonic calibration otherwise than scikit-learn: calibrate with "
        "method='sigmoid'"
    ),
    "QuadraticDiscriminantAnalysis": (
        "the converter's answer has another shape than the model's: use LinearDiscriminantAnalysis or "
        "GaussianNB"
    ),
    "LGBM": (
        "the trees have thresholds that float32 does not tell apart: declare the features as float64, "
        "or train on columns rounded to float32"
    ),
    "HistGradientBoosting": (
        "the trees have thresholds that float32 does not tell apart: declare the features as float64, "
        "or train on columns rounded to float32"
    ),
    "XGB": (
        "XGBoost takes a zero of a sparse matrix for a missing value: give the encoder before it "
        "sparse_output=False and train again"
    ),
    "CatBoost": (
        "CatBoost's exporter leaves out how it treats some values: train on numbers without categories, "
        "and impute missing ones before"
    ),
}
_LIGHTGBM_WITHIN: Final = (
    "LightGBM compares in float64, its converter within a vote or stack in float32: use XGBoost or "
    "scikit-learn's GradientBoosting there"
)
_OTHER: Final = (
    "give tolerance= if these differences do not matter for this model, or export it to ONNX yourself and "
    "give the file with reference="
)


def known_cure(source: Source) -> str | None:
    """What is known to help models of this family."""
    family = source.family.removeprefix("Pipeline of ")
    for name, cure in _BY_FAMILY.items():
        if family.startswith(name):
            return cure
    within = any(of_lightgbm(part) for part in parts_of(source.model))
    return _LIGHTGBM_WITHIN if within else None


def cure_of(source: Source) -> str:
    """One sentence for a person whose model is refused."""
    known = known_cure(source)
    return _OTHER if known is None else f"{known}; or {_OTHER}"
