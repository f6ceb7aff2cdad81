"""Models that come as a file: ONNX as bytes, a ``ModelProto`` or a path, and linear models as arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neuralstream_client.log_model.answers import Answers, Kind, Meaning, labels_of
from neuralstream_client.log_model.errors import LogModelError
from neuralstream_client.log_model.linear import packed, unpacked
from neuralstream_client.log_model.served import Artifact, Served, labelled
from neuralstream_client.log_model.sources import Declared, Source, read_numbers

__all__ = ["artifact_of", "is_file", "source_of_file"]

_ZIP = b"PK\x03\x04"


def is_file(model: Any) -> bool:
    """Whether the model is an artifact already."""
    return isinstance(model, bytes | str | Path | Mapping) or type(model).__name__ == "ModelProto"


def artifact_of(model: Any) -> Artifact:
    """The artifact that a model is; ZipMap is left as it is.

    Raises:
        LogModelError: there is no such file.
    """
    if isinstance(model, Mapping):
        return Artifact("linear", packed(model), "arrays")
    if isinstance(model, str | Path):
        path = Path(model)
        if not path.is_file():
            raise LogModelError(f"there is no file {path}")
        model = path.read_bytes()
    data: bytes = model if isinstance(model, bytes) else model.SerializeToString()
    if data.startswith(_ZIP):
        return Artifact("linear", data, "the given arrays")
    from neuralstream_client.log_model.graph import thresholds

    return Artifact("onnx", data, "the given file", tuple(thresholds(_parsed(data))))


def source_of_file(
    artifact: Artifact,
    reference: Callable[[Any], Any] | None,
    declared: Declared,
    served: Served,
) -> Source:
    """What an artifact answers by the caller's own ``reference``; without one by the artifact itself.

    Args:
        reference: takes rows in the form of ``X``; answers labels or numbers, the probabilities (or
            scores) of all classes, or both as ``(labels, numbers)``.
    """
    classes = declared.classes or _classes(artifact)
    classifies = classes is not None or (artifact.format == "onnx" and labelled(artifact))
    kind: Kind = declared.kind or ("classifier" if classifies else "regressor")
    meaning: Meaning | None = declared.scores
    if meaning is None and kind == "classifier":
        meaning = "probability"
    if meaning is None and kind in ("anomaly", "clusterer"):
        meaning = "score"
    body: dict[str, Any] = {}
    for name in ("kind", "classes", "outputs", "scores"):
        if (value := getattr(declared, name)) is not None:
            body[name] = list(value) if isinstance(value, tuple) else value
    shell = Source(None, "ONNX file", artifact.format, kind, meaning, classes, Answers, body)
    if artifact.format == "linear":
        shell = Source(None, "linear arrays", "linear", kind, meaning, classes, Answers, body)

    def answer(X: Any) -> Answers:  # noqa: N803
        if reference is None:
            return served.answers(X, shell)
        return _given(reference(X), kind, meaning, classes)

    return Source(
        None,
        shell.family,
        shell.library,
        kind,
        meaning,
        classes,
        answer,
        body,
        own=reference is not None,
    )


def _given(
    answer: Any, kind: Kind, meaning: Meaning | None, classes: tuple[Any, ...] | None
) -> Answers:
    if isinstance(answer, tuple):
        labels, numbers = answer
        wide = np.asarray(numbers, np.float64)
        return Answers(labels_of(labels), wide.reshape(len(wide), -1))
    array = np.asarray(answer)
    if kind in ("regressor", "embedding"):
        return read_numbers(array, kind, None, None)
    if array.ndim == 1 or array.shape[1] == 1:
        return Answers(labels_of(array))
    return read_numbers(array, kind, "probability" if meaning == "logits" else meaning, classes)


def _classes(artifact: Artifact) -> tuple[Any, ...] | None:
    """The labels that the artifact itself names."""
    if artifact.format == "linear":
        arrays = unpacked(artifact.data)
        return tuple(labels_of(arrays["classes"])) if "classes" in arrays else None
    from onnx import helper

    for node in reversed(_parsed(artifact.data).graph.node):
        for attribute in node.attribute:
            if attribute.name.startswith("classlabels_"):
                values = helper.get_attribute_value(attribute)
                if values:
                    return tuple(v.decode() if isinstance(v, bytes) else int(v) for v in values)
    return None


def _parsed(data: bytes) -> Any:
    import onnx

    try:
        return onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's exceptions share no base but Exception
        raise LogModelError("the file is not an ONNX model") from error
