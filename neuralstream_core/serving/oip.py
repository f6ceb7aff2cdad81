"""The Open Inference Protocol V2 over JSON.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md

Beyond it, ``parameters.entity_id`` (or ``entities``) in place of ``inputs`` fetches the features, and
``null`` in a floating-point tensor is NaN. The binary tensor extension is not offered: clients ask for JSON
tensors (``binary_data=False``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from math import prod
from typing import Annotated, Any, Final, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

from neuralstream_core.errors import Invalid
from neuralstream_core.features.entity import parse_entity
from neuralstream_core.features.references import MAX_ROLES
from neuralstream_core.registry.records import Signature, Tensor, VersionRecord
from neuralstream_core.runtimes import DATATYPES, FLOATS, Predictions
from neuralstream_core.serving.inference import check_values
from neuralstream_core.serving.outputs import not_finite
from neuralstream_core.serving.servable import Servable

__all__ = [
    "MAX_ELEMENTS",
    "InferAnswer",
    "InferBody",
    "Live",
    "ModelMetadata",
    "ModelReady",
    "Ready",
    "Server",
    "TensorMetadata",
    "check_answer",
    "decode",
    "encode",
    "metadata",
    "version_name",
]

MAX_ELEMENTS: Final = 1_000_000
"""Elements that all inputs of a request may have together."""

_TYPES: Final[dict[str, frozenset[type]]] = {
    **dict.fromkeys(FLOATS, frozenset({int, float, type(None)})),
    "BOOL": frozenset({bool}),
    "BYTES": frozenset({str}),
}
_WHOLE: Final = frozenset({int})

IGNORED: Final = "taken as the protocol has it, and ignored"
Cell: TypeAlias = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number"},
                {"type": "boolean"},
                {"type": "string"},
                {"type": "array"},
                {"type": "null"},
            ],
            "description": "by the tensor's datatype; a list where the data are nested",
        }
    ),
]
ShortText: TypeAlias = Annotated[str, StringConstraints(max_length=1024)]
Parameters: TypeAlias = Annotated[dict[ShortText, Any], Field(max_length=64)]


class _Wire(BaseModel):
    """Base of the protocol's messages; an extension this server does not know is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class InputTensor(_Wire):
    """One input of the model."""

    name: ShortText = Field(description="as the model's metadata lists it")
    shape: Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=8)] = Field(
        description="sizes of its axes, the number of rows first"
    )
    datatype: ShortText = Field(
        description="such as FP32, INT64, BOOL, BYTES; numbers are converted"
    )
    parameters: Parameters = Field(default_factory=dict, description=IGNORED)
    data: list[Cell] = Field(
        description="the cells in row-major order, flat or nested as in `shape`; null in a"
        " floating-point tensor is NaN; all inputs together have at most 1,000,000"
    )


class OutputRequest(_Wire):
    """One output that is asked for."""

    name: ShortText = Field(description="as the model's metadata lists it")
    parameters: Parameters = Field(default_factory=dict, description=IGNORED)


class InferBody(_Wire):
    """An inference request. ``parameters.entity_id`` (or ``entities``) in place of ``inputs`` fetches the
    features."""

    id: ShortText | None = Field(default=None, description="repeated in the answer")
    parameters: Parameters = Field(
        default_factory=dict,
        description="`entity_id`: whose features to read, and who is kept on a version; `entities`: further"
        " ids by entity key or role; others are ignored",
    )
    inputs: Annotated[list[InputTensor], Field(max_length=512)] = Field(
        default_factory=list,
        description="every input of the model once, all of one number of rows; or none, with"
        " `parameters.entity_id` or `parameters.entities`",
    )
    outputs: Annotated[list[OutputRequest], Field(max_length=512)] = Field(
        default_factory=list, description="which outputs to answer; all when left out"
    )

    @property
    def entity_id(self) -> str | None:
        """The entity of the extension.

        Raises:
            Invalid: it is neither a string nor a whole number.
        """
        entity = self.parameters.get("entity_id")
        if entity is None:
            return None
        try:
            named = parse_entity(("entity_id",), entity)
        except ValueError as error:
            raise Invalid.at("parameters.entity_id", str(error)) from None
        return str(named)

    @property
    def entities(self) -> dict[str, str] | None:
        """The further ids of the extension, by entity key or role.

        Raises:
            Invalid: they are not an object of ids.
        """
        given = self.parameters.get("entities")
        if given is None:
            return None
        if not isinstance(given, dict) or len(given) > MAX_ROLES:
            raise Invalid.at(
                "parameters.entities", f"must be an object of at most {MAX_ROLES} ids by name"
            )
        found: dict[str, str] = {}
        for name, raw in given.items():
            try:
                found[name] = str(parse_entity((name,), raw))
            except ValueError as error:
                raise Invalid.at(f"parameters.entities.{name[:128]}", str(error)) from None
        return found


class OutputTensor(_Wire):
    """One output of the model."""

    name: str = Field(description="as the model's metadata lists it")
    shape: list[int] = Field(description="sizes of its axes, the number of rows first")
    datatype: str = Field(description="such as FP32, INT64, BOOL, BYTES")
    data: list[Cell] = Field(description="the cells in row-major order, flat")


class InferAnswer(_Wire):
    """An inference response."""

    model_name: str = Field(description="the model")
    model_version: str = Field(description="the version that answered, such as `v2`")
    id: str | None = Field(default=None, description="that of the request; left out if it had none")
    outputs: list[OutputTensor] = Field(description="in the order asked for")


class Server(_Wire):
    """What serves."""

    name: str = Field(description="always `neuralstream`")
    version: str = Field(description="its release")
    extensions: list[str] = Field(description="beyond the protocol: `entity_id`, `entities`")


class Live(_Wire):
    """That the function runs."""

    live: bool = Field(description="always true")


class Ready(_Wire):
    """That predictions can be served."""

    ready: bool = Field(description="always true; otherwise the answer is an error")


class ModelReady(_Wire):
    """That a version is loaded."""

    name: str = Field(description="the model")
    ready: bool = Field(description="always true; otherwise the answer is an error")


class TensorMetadata(_Wire):
    """An input or output of a model."""

    name: str = Field(description="as in the artifact")
    datatype: str = Field(description="such as FP32, INT64, BOOL, BYTES")
    shape: list[int] = Field(description="sizes of its axes; -1: of any size")


class ModelMetadata(_Wire):
    """What a model takes and gives."""

    name: str = Field(description="the model")
    versions: list[str] = Field(description="those that serve now")
    platform: Literal["onnx_onnxv1", "neuralstream_linear"] = Field(
        description="how the artifact is encoded"
    )
    inputs: list[TensorMetadata] = Field(description="what the model takes")
    outputs: list[TensorMetadata] = Field(description="what the model gives")


def version_name(text: str) -> str:
    """The protocol's version, ``"1"`` or ``"v1"``, as the registry's ``"v1"``."""
    return text if text.startswith("v") else f"v{text}"


def metadata(version: VersionRecord, versions: Sequence[str]) -> ModelMetadata:
    """The metadata of a version; ``versions`` are those that serve now."""
    signature = version.signature
    return ModelMetadata(
        name=version.model,
        versions=list(versions),
        platform="onnx_onnxv1" if version.format == "onnx" else "neuralstream_linear",
        inputs=[_tensor(tensor) for tensor in signature.inputs] if signature else [],
        outputs=[_tensor(tensor) for tensor in signature.outputs] if signature else [],
    )


def _tensor(tensor: Tensor) -> TensorMetadata:
    return TensorMetadata(name=tensor.name, datatype=tensor.datatype, shape=list(tensor.shape))


def decode(body: InferBody, signature: Signature) -> dict[str, np.ndarray]:
    """The request's tensors, checked against the model's inputs.

    Raises:
        Invalid: a tensor is missing, unknown, of another datatype or shape, or its data does not fit.
    """
    wanted = {tensor.name: tensor for tensor in signature.inputs}
    given = {tensor.name: tensor for tensor in body.inputs}
    if len(given) != len(body.inputs):
        raise Invalid.at("inputs", "an input is given twice")
    for name in given.keys() - wanted.keys():
        raise Invalid.at("inputs", f"the model has no input {name!r}; it takes {_named(wanted)}")
    for name in wanted.keys() - given.keys():
        raise Invalid.at("inputs", f"the input {name!r} is missing")
    if sum(prod(tensor.shape) for tensor in body.inputs) > MAX_ELEMENTS:
        raise Invalid.at("inputs", f"at most {MAX_ELEMENTS} elements a request")
    inputs = {name: _decoded(given[name], tensor) for name, tensor in wanted.items()}
    rows = {len(array) for array in inputs.values()}
    if len(rows) != 1 or rows == {0}:
        raise Invalid.at("inputs", "every input needs the same number of rows, at least one")
    return inputs


def _decoded(given: InputTensor, wanted: Tensor) -> np.ndarray:
    loc = f"inputs.{given.name[:128]}"
    if given.datatype not in DATATYPES:
        raise Invalid.at(loc, f"unknown datatype; use one of {', '.join(DATATYPES)}")
    if not _convertible(given.datatype, wanted.datatype):
        raise Invalid.at(loc, f"the model takes {wanted.datatype}, not {given.datatype}")
    if len(given.shape) != len(wanted.shape) or any(
        free >= 0 and free != size for free, size in zip(wanted.shape, given.shape, strict=True)
    ):
        raise Invalid.at(loc, f"the model takes the shape {list(wanted.shape)}, not {given.shape}")
    cells = _flat(given.data, given.shape, loc)
    allowed = _TYPES.get(given.datatype, _WHOLE)
    if not allowed.issuperset(map(type, cells)):
        raise Invalid.at(loc, f"data that is not {given.datatype}")
    try:
        with np.errstate(over="raise"):
            return np.array(cells, dtype=DATATYPES[wanted.datatype]).reshape(given.shape)
    except (ArithmeticError, ValueError, TypeError):
        raise Invalid.at(loc, f"data beyond the range of {wanted.datatype}") from None


def _convertible(given: str, wanted: str) -> bool:
    if given == wanted:
        return True
    if "BYTES" in (given, wanted) or "BOOL" in (given, wanted):
        return False
    return wanted in FLOATS or given not in FLOATS


def _flat(data: list[Any], shape: Sequence[int], loc: str) -> list[Any]:
    """Row-major cells of flat or nested data."""
    if data and isinstance(data[0], list):
        for size in shape[1:]:
            if not all(isinstance(part, list) and len(part) == size for part in data):
                raise Invalid.at(loc, f"nested data does not have the shape {list(shape)}")
            data = list(chain.from_iterable(data))
    if len(data) != prod(shape):
        raise Invalid.at(loc, f"{len(data)} elements for the shape {list(shape)}")
    return data


def check_answer(body: InferBody, servable: Servable, predictions: Predictions) -> None:
    """Refuse an answer that `encode` cannot give.

    Raises:
        Invalid: the request asks for an output the model does not have, or an answer is not a number.
        TooLarge: no answer can hold so many values.
    """
    tensors = predictions.tensors(servable.runtime.signature)
    check_values(sum(array.size for array in tensors.values()))
    for name in _wanted(body, tensors):
        if name not in tensors:
            raise Invalid.at("outputs", f"the model has no output {name[:128]!r}")
        if tensors[name].dtype.kind == "f" and not np.isfinite(tensors[name]).all():
            raise not_finite()


def encode(body: InferBody, servable: Servable, predictions: Predictions) -> str:
    """The JSON of an `InferAnswer` with the outputs the request asks for, all by default.

    The answer has passed `check_answer`.
    """
    tensors = predictions.tensors(servable.runtime.signature)
    declared = {tensor.name: tensor.datatype for tensor in servable.runtime.signature.outputs}
    version = servable.version
    answer: dict[str, Any] = {"model_name": version.model, "model_version": version.version}
    if body.id is not None:
        answer["id"] = body.id
    answer["outputs"] = [
        {
            "name": name,
            "shape": list(tensors[name].shape),
            "datatype": declared[name],
            "data": tensors[name].ravel().tolist(),
        }
        for name in _wanted(body, tensors)
    ]
    return json.dumps(answer, allow_nan=False)


def _wanted(body: InferBody, tensors: Mapping[str, np.ndarray]) -> list[str]:
    return [request.name for request in body.outputs] or list(tensors)


def _named(tensors: dict[str, Tensor]) -> str:
    return ", ".join(repr(name) for name in list(tensors)[:20])
