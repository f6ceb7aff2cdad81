"""Checks of an ONNX model's bytes before ONNX Runtime loads them.

Refused: operators from outside ONNX and the runtime's own set, tensors kept in other files, sizes that
do not match the data, and shapes that would make the runtime allocate far more than the file holds.
Also found here, because the runtime does not tell: a classifier's labels and the tensor behind a ZipMap.
Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Final

from neuralstream_core.errors import ArtifactRejected
from neuralstream_core.runtimes._protobuf import (
    Budget,
    Field,
    Malformed,
    fields,
    int64s,
    utf8,
    varints,
)
from neuralstream_core.runtimes.runtime import MAX_ARTIFACT, MAX_CLASSES, Findings

__all__ = ["inspect_onnx"]

ALLOWED_DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""``com.microsoft`` is the runtime's built-in contributed set (quantised and fused operators)."""
REFUSED_OPERATORS: Final = frozenset({"EPContext", "PythonOp", "PythonOpGrad"})
"""Built-in, but they load other files or run code."""
MIN_OPSET: Final = 7
"""The oldest ``ai.onnx`` opset ONNX Runtime supports."""

MAX_FIELDS: Final = 4_000_000
MAX_DEPTH: Final = 16
MAX_ELEMENTS: Final = 1 << 27
"""Elements a declared or made tensor may have: 1 GB of float64 would not fit beside the function."""

_ITEM_BITS: Final = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128,
    16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4,
}  # fmt: skip
_STRING: Final = 8
_SHAPE_MAKERS: Final = {"ConstantOfShape": 0, "Expand": 1, "Reshape": 1, "Tile": 1}
"""Operators whose input at this place is the shape (for Tile: the repeats) of what they make."""
_MADE_BY_ATTRIBUTE: Final = frozenset({"RandomNormal", "RandomUniform"})
_ATTRIBUTE_NUMBERS: Final = frozenset({7, 8})
_TENSOR_NUMBERS: Final = frozenset({4, 5, 7})


def inspect_onnx(data: bytes) -> Findings:
    """Check a serialized ``ModelProto``.

    Raises:
        ArtifactRejected: with the reason.
    """
    if len(data) > MAX_ARTIFACT:
        raise ArtifactRejected(f"the artifact has {len(data)} bytes; at most {MAX_ARTIFACT}")
    return _Inspection().model(memoryview(data))


@dataclass(slots=True)
class _Inspection:
    budget: Budget = field(default_factory=lambda: Budget(MAX_FIELDS))
    findings: Findings = field(default_factory=Findings)
    domains: set[str] = field(default_factory=set)
    own_domains: set[str] = field(default_factory=set)
    """Domains of functions the model itself defines out of standard operators."""

    def model(self, data: memoryview) -> Findings:
        graphs: list[memoryview] = []
        opsets: dict[str, int] = {}
        for part in fields(data, self.budget):
            match part.number:
                case 7:
                    graphs.append(part.data)
                case 8:
                    domain, version = self._opset(part.data)
                    opsets[domain] = version
                case 20:
                    raise ArtifactRejected("the model holds training information")
                case 25:
                    self._function(part.data)
        if len(graphs) != 1 or not opsets:
            raise Malformed
        if 0 < opsets.get("", opsets.get("ai.onnx", MIN_OPSET)) < MIN_OPSET:
            raise ArtifactRejected(f"opset below {MIN_OPSET} is not supported")
        self._graph(graphs[0], depth=0)
        self.domains.update(opsets.keys() - self.own_domains - {"ai.onnx.training"})
        unknown = self.domains - ALLOWED_DOMAINS - self.own_domains
        # an imported but unused foreign opset is harmless only if it has no operators to offer: refuse
        if unknown:
            raise ArtifactRejected(
                f"the model needs custom operators ({', '.join(sorted(unknown))[:200]}); "
                "only ONNX and ONNX Runtime's own operators are allowed",
                code="custom_operators",
            )
        return self.findings

    def _opset(self, data: memoryview) -> tuple[str, int]:
        domain, version = "", 0
        for part in fields(data, self.budget):
            if part.number == 1:
                domain = utf8(part.data)
            elif part.number == 2:
                version = part.value
        return domain, version

    def _function(self, data: memoryview) -> None:
        for part in fields(data, self.budget):
            if part.number == 10:
                self.own_domains.add(utf8(part.data))
            elif part.number == 9:
                self.domains.add(self._opset(part.data)[0])
            elif part.number == 7:
                self._node(part.data, {}, depth=1)

    def _graph(self, data: memoryview, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise ArtifactRejected(f"graphs nested more than {MAX_DEPTH} deep")
        constants: dict[str, list[int]] = {}
        nodes: list[memoryview] = []
        for part in fields(data, self.budget):
            match part.number:
                case 1:
                    nodes.append(part.data)
                case 5:
                    self._tensor(part.data, constants)
                case 15:
                    self._sparse(part.data)
                case 11 | 12 | 13:
                    self._value_info(part.data)
        for node in nodes:
            self._node(node, constants, depth)

    def _node(self, data: memoryview, constants: dict[str, list[int]], depth: int) -> None:
        inputs: list[str] = []
        outputs: list[str] = []
        attributes: list[memoryview] = []
        operator = domain = ""
        for part in fields(data, self.budget):
            match part.number:
                case 1:
                    inputs.append(utf8(part.data))
                case 2:
                    outputs.append(utf8(part.data))
                case 4:
                    operator = utf8(part.data)
                case 5:
                    attributes.append(part.data)
                case 7:
                    domain = utf8(part.data)
        self.domains.add(domain)
        if operator in REFUSED_OPERATORS:
            raise ArtifactRejected(
                f"the operator {operator} is not allowed", code="custom_operators"
            )
        for attribute in attributes:
            self._attribute(attribute, operator, outputs, constants, depth)
        place = _SHAPE_MAKERS.get(operator)
        if place is not None and place < len(inputs) and inputs[place] in constants:
            _bounded(constants[inputs[place]], operator)
        if operator == "ZipMap" and inputs and outputs:
            self.findings.zipmap_inputs[outputs[0]] = inputs[0]

    def _attribute(
        self,
        data: memoryview,
        operator: str,
        outputs: list[str],
        constants: dict[str, list[int]],
        depth: int,
    ) -> None:
        name = ""
        labels: list[str | int] = []
        is_labels = False
        # the name is field 1 and comes first, so it is known before the numbers it decides about
        head = next(iter(fields(data, self.budget)), None)
        if head is not None and head.number == 1:
            name = utf8(head.data)
            is_labels = name.startswith("classlabels_")
        wanted = is_labels or operator in _MADE_BY_ATTRIBUTE
        for part in fields(data, self.budget, skip=frozenset() if wanted else _ATTRIBUTE_NUMBERS):
            match part.number:
                case 5:
                    target = outputs[0] if operator == "Constant" and outputs else ""
                    self._tensor(part.data, constants, target)
                case 6 | 11:
                    self._graph(part.data, depth + 1)
                case 10:
                    self._tensor(part.data, {})
                case 22 | 23:
                    self._sparse(part.data)
                case 8 if wanted:
                    labels += varints(part, self.budget)
                case 9 if wanted:
                    labels.append(utf8(part.data))
            if is_labels and len(labels) > MAX_CLASSES:
                raise ArtifactRejected(f"a classifier may have at most {MAX_CLASSES} classes")
        if is_labels and labels:
            self.findings.classes = tuple(labels)
        elif name == "shape" and operator in _MADE_BY_ATTRIBUTE:
            _bounded([int(size) for size in labels], operator)

    def _sparse(self, data: memoryview) -> None:
        for part in fields(data, self.budget):
            if part.number in (1, 2):
                self._tensor(part.data, {})
            elif part.number == 3:
                _bounded(varints(part, self.budget), "a sparse tensor")

    def _tensor(self, data: memoryview, constants: dict[str, list[int]], name: str = "") -> None:
        dims: list[int] = []
        kind = strings = 0
        raw = _EMPTY
        small: list[int] = []
        for part in fields(data, self.budget, skip=_TENSOR_NUMBERS if len(data) > 4096 else _NONE):
            match part.number:
                case 1:
                    dims += varints(part, self.budget)
                case 2:
                    kind = part.value
                case 6:
                    strings += 1
                case 7:
                    if len(data) <= 4096:
                        small += varints(part, self.budget)
                case 8 if not name:
                    name = utf8(part.data)
                case 9:
                    raw = part.data
                case 13 | 14 if part.number == 13 or part.value:
                    raise ArtifactRejected(
                        "the model keeps tensors in other files; save it as one file",
                        code="external_data",
                    )
        if len(dims) > 32:
            raise ArtifactRejected("a tensor with more than 32 dimensions")
        count = _bounded(dims, f"the tensor {name[:64]!r}")
        needs = count if kind == _STRING else count * _ITEM_BITS.get(kind, 8) // 8
        # unpacked numbers take at least a byte each
        holds = strings if kind == _STRING else len(raw) or len(data)
        if kind != _STRING and not raw:
            needs = count // 2 if kind in (21, 22, 23) else count
        if needs > holds:
            raise ArtifactRejected(
                f"the tensor {name[:64]!r} declares {count} elements but does not hold them"
            )
        if kind == 7 and count <= 64 and len(dims) <= 1:
            constants[name] = int64s(raw) if raw else small

    def _value_info(self, data: memoryview) -> None:
        """``ValueInfoProto`` → ``TypeProto.tensor_type.shape.dim.dim_value``."""
        for shape in self._below(data, 2, 1, 2):
            sizes = [
                max(1, size)
                for part in self._below(shape.data, 1, 1)
                for size in varints(part, self.budget)
            ]
            _bounded(sizes, "a declared shape")

    def _below(self, data: memoryview, *numbers: int) -> Iterator[Field]:
        """The fields that a path of field numbers leads to."""
        for part in fields(data, self.budget):
            if part.number == numbers[0]:
                if len(numbers) > 1:
                    yield from self._below(part.data, *numbers[1:])
                else:
                    yield part


_EMPTY: Final = memoryview(b"")
_NONE: Final[frozenset[int]] = frozenset()


def _bounded(dims: list[int], what: str) -> int:
    """The number of elements; ``-1`` and ``0`` in a Reshape stand for sizes known elsewhere."""
    count = prod(abs(size) for size in dims[:32])
    if count > MAX_ELEMENTS:
        raise ArtifactRejected(
            f"{what} asks for {count} elements; at most {MAX_ELEMENTS}", code="model_too_large"
        )
    return count
