"""An artifact as the service runs it: its inputs are filled and its outputs read in the same way.

Kept equal to the service by the tests that serve every family and compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from neuralstream_client.log_model.answers import Answers, labels_of
from neuralstream_client.log_model.errors import ConversionError
from neuralstream_client.log_model.linear import linear_run
from neuralstream_client.log_model.names import called
from neuralstream_client.log_model.sources import Source, read_numbers
from neuralstream_client.log_model.table import Column, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Artifact", "Served", "labelled"]

_TYPES: Final = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": object,
}
_LABELS: Final = "iubO"


@dataclass(frozen=True)
class Artifact:
    """Bytes that can be registered.

    Attributes:
        made_by: the converter and the precision, for the report.
        splits: input, place in it and value of each threshold of its trees.
    """

    format: Literal["onnx", "linear"]
    data: bytes
    made_by: str
    splits: tuple[tuple[str, int, float], ...] = ()


@dataclass(frozen=True)
class _Input:
    name: str
    dtype: Any
    places: tuple[int, ...]
    shape: tuple[int, ...] = field(default=())


class Served:
    """A loaded artifact and the columns that fill its inputs.

    Args:
        features: names of the features, in the columns' order, each as ``view:feature`` or
            ``view@role:feature``.

    Raises:
        ConversionError: the runtime does not load it, or the columns do not fit its inputs.
    """

    def __init__(self, artifact: Artifact, features: Sequence[str], table: Table) -> None:
        self.artifact = artifact
        if artifact.format == "linear":
            self._run = linear_run(artifact.data)
            self.inputs: tuple[_Input, ...] = (
                _Input("input", np.float64, tuple(range(len(features)))),
            )
            return
        session = _session(artifact.data)
        self._names = [out.name for out in session.get_outputs()]
        self._run = lambda given: list(session.run(None, given))
        self.inputs = _bound(session.get_inputs(), features, table)

    def feature_of(self, name: str, place: int) -> int:
        """The column that fills a place of an input."""
        return next(one.places[place] for one in self.inputs if one.name == name)

    def answers(self, table: Table, source: Source) -> Answers:
        """What the service answers, read as the source's kind of model.

        Raises:
            ConversionError: the run fails, or the outputs are not of that kind.
        """
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                outputs = [np.asarray(out) for out in self._run(self._given(table))]
        except Exception as error:  # the runtime's exceptions share no base but Exception
            why = " ".join(str(error).split())[:300]
            raise ConversionError(f"the exported model does not run: {why}") from error
        if any(not out.ndim or len(out) != len(table) for out in outputs):
            shapes = ", ".join(str(out.shape) for out in outputs)
            raise ConversionError(
                f"the exported model answers {len(table)} rows with the shapes {shapes}; a model must "
                "give one answer per row"
            )
        return _read(outputs, source)

    def _given(self, table: Table) -> dict[str, NDArray[Any]]:
        given: dict[str, NDArray[Any]] = {}
        for one in self.inputs:
            columns = [table.columns[place] for place in one.places]
            tensor = np.empty((len(table), len(columns)), one.dtype)
            with np.errstate(over="ignore", invalid="ignore"):
                for at, column in enumerate(columns):
                    tensor[:, at] = _stored(column)
            given[one.name] = tensor.reshape(len(table), *one.shape) if one.shape else tensor
        return given


def _stored(column: Column) -> Any:
    """The values as the store keeps them: a feature of float32 rounds them before any model sees them."""
    if column.text:
        return ["" if value is None else value for value in column.values]
    return column.values.astype(np.float32) if column.dtype == "float32" else column.values


def labelled(artifact: Artifact) -> bool:
    """Whether an ONNX artifact answers labels, so that it is a classifier by itself."""
    return any(
        out.type in ("tensor(int64)", "tensor(string)")
        for out in _session(artifact.data).get_outputs()
    )


def _session(data: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's exceptions share no base but Exception
        why = " ".join(str(error).split())[:300]
        raise ConversionError(f"the exported model does not load: {why}") from error


def _bound(nodes: Sequence[Any], features: Sequence[str], table: Table) -> tuple[_Input, ...]:
    """By name if every input is named like one feature, else the features in order."""
    unknown = [node.type for node in nodes if node.type not in _TYPES]
    if unknown:
        raise ConversionError(
            f"the model has an input of the type {unknown[0]}, which is not served"
        )
    places: dict[str, set[int]] = {}
    for at, feature in enumerate(features):
        for name in called(feature):
            places.setdefault(name, set()).add(at)
    named = [places.get(node.name, set()) for node in nodes]
    if len(nodes) == len(features) and all(len(found) == 1 for found in named):
        groups = [tuple(found) for found in named]
        if len(set(groups)) == len(groups):
            return _checked(nodes, groups, table)
    groups, at = [], 0
    for node in nodes:
        sizes = [size for size in node.shape[1:] if isinstance(size, int)]
        free = len(sizes) < len(node.shape) - 1
        width = len(features) - at if free else int(np.prod(sizes, dtype=int))
        groups.append(tuple(range(at, min(at + width, len(features)))))
        if len(groups[-1]) != width or not width:
            break
        at += width
    if at != len(features) or len(groups) != len(nodes):
        wanted = ", ".join(f"{node.name} {node.shape}" for node in nodes)
        raise ConversionError(
            f"{len(features)} columns do not fill the model's inputs ({wanted}): give X with the model's "
            "own columns, in its order"
        )
    return _checked(nodes, groups, table)


def _checked(
    nodes: Sequence[Any], groups: Sequence[tuple[int, ...]], table: Table
) -> tuple[_Input, ...]:
    made: list[_Input] = []
    for node, places in zip(nodes, groups, strict=True):
        dtype = _TYPES[node.type]
        for place in places:
            column = table.columns[place]
            whole = np.dtype(dtype).kind in "iub" and column.dtype not in ("int64", "bool")
            if column.text != (dtype is object) or whole:
                raise ConversionError(
                    f"the column {column.name!r} ({column.dtype}) does not fit the model's input "
                    f"{node.name!r} of the type {node.type}"
                )
        shape = tuple(node.shape[1:])
        fixed = all(isinstance(size, int) for size in shape)
        made.append(_Input(node.name, dtype, places, shape if fixed and len(shape) != 1 else ()))
    return tuple(made)


def _read(outputs: list[NDArray[Any]], source: Source) -> Answers:
    """Labels beside numbers, or numbers alone."""
    first, rest = outputs[0], outputs[1:]
    if len(outputs) == 2 and first.dtype.kind == "f" and rest[0].dtype.kind in _LABELS:
        first, rest = outputs[1], [outputs[0]]
    if first.dtype.kind in _LABELS:
        if first.size != len(first):
            raise ConversionError(f"the exported model answers labels of the shape {first.shape}")
        beside = rest[0].astype(np.float64).reshape(len(first), -1) if rest else None
        if source.kind == "regressor":
            return Answers(first.astype(np.float64).reshape(-1))
        return Answers(labels_of(first), beside)
    wide = np.concatenate([out.reshape(len(out), -1) for out in outputs], axis=1)
    return read_numbers(wide, source.kind, source.meaning, source.classes)
