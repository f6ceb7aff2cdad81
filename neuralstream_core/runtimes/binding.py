"""How a version's features become the tensors its model takes.

Decided once, when a version is registered and again when it is loaded:

1. every model input is named like exactly one feature (``age``, ``users:age`` or ``users__age``):
   one input per feature, by name;
2. otherwise the inputs, in the model's order, take the features in the version's order until each is
   full. One wide ``(n, f)`` input is the common case; ``numbers (n, 3)`` and ``words (n, 2)`` another.

A float feature never goes into an integer input (it would be cut off), text only into ``BYTES``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from neuralstream_core.errors import ArtifactRejected, Invalid
from neuralstream_core.registry.records import FeatureRef, Signature, Tensor
from neuralstream_core.runtimes.runtime import DATATYPES, FLOATS

__all__ = ["Binding", "Slot", "bind"]

_WHOLE = frozenset({"int64", "bool", "timestamp"})


@dataclass(frozen=True, slots=True)
class Slot:
    """One model input and the features that fill it, side by side.

    Attributes:
        features: their places in the version's feature list.
        offsets: the column of the input at which each begins.
        width: elements of one row.
        shape: of one row as the model declares it, sizes resolved; ``()`` for a ``(n,)`` input.
    """

    name: str
    datatype: str
    features: tuple[int, ...]
    offsets: tuple[int, ...]
    width: int
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Binding:
    """How feature values become input tensors.

    Attributes:
        nullable: per feature, whether its input can carry a missing value (NaN or ``""``); an integer
            or boolean input cannot.
    """

    features: tuple[FeatureRef, ...]
    slots: tuple[Slot, ...]
    nullable: tuple[bool, ...]

    def row(self, values: Sequence[Any]) -> dict[str, np.ndarray]:
        """Inputs of one row.

        Args:
            values: one Python value per feature; a sequence for a vector, ``None`` for a missing one
                (only where `nullable`).

        Raises:
            Invalid: a value does not fit its input's type.
        """
        inputs: dict[str, np.ndarray] = {}
        try:
            for slot in self.slots:
                cells: list[Any] = []
                for place in slot.features:
                    value = values[place]
                    if isinstance(value, float):
                        cells.append(value)
                    else:
                        cells += _cells(value, self.features[place].size)
                if slot.datatype == "BYTES":
                    cells = ["" if cell is None else cell for cell in cells]
                # numpy reads None as NaN; a float64 beyond float32 becomes infinity, which a tree
                # compares rightly.
                with np.errstate(over="ignore"):
                    inputs[slot.name] = np.array(cells, DATATYPES[slot.datatype]).reshape(
                        1, *slot.shape
                    )
        except (OverflowError, ValueError, TypeError):
            raise _misfit() from None
        return inputs

    def columns(
        self, columns: Sequence[np.ndarray], missing: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """Inputs of ``n`` rows.

        Args:
            columns: one array per feature, ``(n,)`` or ``(n, size)`` for a vector; the content of a
                missing cell does not matter.
            missing: bool ``(n, features)``, or ``None`` when nothing is missing.

        Raises:
            Invalid: a column does not fit its input's type.
        """
        n = len(columns[0]) if columns else 0
        inputs: dict[str, np.ndarray] = {}
        for slot in self.slots:
            text = slot.datatype == "BYTES"
            tensor = np.empty((n, slot.width), dtype=DATATYPES[slot.datatype])
            for place, at in zip(slot.features, slot.offsets, strict=True):
                size = self.features[place].size
                column = columns[place]
                try:
                    with np.errstate(over="ignore"):  # as in `row`
                        tensor[:, at : at + size] = column.reshape(n, size)
                except (OverflowError, ValueError, TypeError):
                    raise _misfit() from None
                if missing is not None and self.nullable[place]:
                    absent = missing[:, place]
                    if absent.any():
                        tensor[absent, at : at + size] = "" if text else np.nan
            inputs[slot.name] = tensor.reshape(n, *slot.shape)
        return inputs

    def split(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The feature columns that the input tensors hold, ``(n,)`` or ``(n, size)`` each."""
        columns: list[np.ndarray] = [np.zeros(0)] * len(self.features)
        for slot in self.slots:
            tensor = inputs[slot.name].reshape(-1, slot.width)
            for place, at in zip(slot.features, slot.offsets, strict=True):
                size = self.features[place].size
                columns[place] = tensor[:, at] if size == 1 else tensor[:, at : at + size]
        return columns


def bind(signature: Signature, features: Sequence[FeatureRef]) -> Binding:
    """Assign a version's features to its model's inputs.

    Raises:
        ArtifactRejected: they do not fit; names the input or feature that is left over.
    """
    named = _by_name(signature, features)
    groups = named if named is not None else _in_order(signature, features)
    slots = tuple(
        _slot(tensor, places, features)
        for tensor, places in zip(signature.inputs, groups, strict=True)
    )
    nullable = [False] * len(features)
    for slot in slots:
        for place in slot.features:
            nullable[place] = slot.datatype in FLOATS or slot.datatype == "BYTES"
    return Binding(tuple(features), slots, tuple(nullable))


def _by_name(signature: Signature, features: Sequence[FeatureRef]) -> list[tuple[int, ...]] | None:
    if len(signature.inputs) != len(features):
        return None
    names: dict[str, list[int]] = {}
    for place, ref in enumerate(features):
        view = ref.view if ref.role is None else f"{ref.view}__{ref.role}"
        for name in {ref.feature, ref.label, f"{view}__{ref.feature}"}:
            names.setdefault(name, []).append(place)
    groups = [tuple(names.get(tensor.name, ())) for tensor in signature.inputs]
    if any(len(group) != 1 for group in groups) or len(set(groups)) != len(groups):
        return None
    return groups


def _in_order(signature: Signature, features: Sequence[FeatureRef]) -> list[tuple[int, ...]]:
    groups: list[tuple[int, ...]] = []
    next_feature = 0
    for index, tensor in enumerate(signature.inputs):
        width = _declared_width(tensor)
        taken: list[int] = []
        filled = 0
        last = index == len(signature.inputs) - 1
        while next_feature < len(features) and (last if width is None else filled < width):
            taken.append(next_feature)
            filled += features[next_feature].size
            next_feature += 1
        if width is None and not last:
            raise ArtifactRejected(
                f"the input {tensor.name!r} has no declared width, so the features cannot be dealt "
                "out in order; name the inputs like the features"
            )
        if not taken or (width is not None and filled != width):
            raise ArtifactRejected(
                f"the input {tensor.name!r} takes {width} values per row; the features give "
                f"{sum(ref.size for ref in features)} in all and {filled} for it"
            )
        groups.append(tuple(taken))
    if next_feature < len(features):
        raise ArtifactRejected(
            f"the model's inputs are full before {features[next_feature].label}: "
            f"{len(features)} features were given"
        )
    return groups


def _declared_width(tensor: Tensor) -> int | None:
    sizes = tensor.shape[1:]
    return prod(sizes) if min(sizes, default=1) > 0 else None


def _slot(tensor: Tensor, places: tuple[int, ...], features: Sequence[FeatureRef]) -> Slot:
    offsets: list[int] = []
    width = 0
    for place in places:
        _check_type(tensor, features[place])
        offsets.append(width)
        width += features[place].size
    declared = _declared_width(tensor)
    if declared is not None and declared != width:
        raise ArtifactRejected(
            f"the input {tensor.name!r} takes {declared} values per row, "
            f"{features[places[0]].label} gives {width}"
        )
    shape = tensor.shape[1:]
    if declared is None:
        if len(shape) != 1:
            raise ArtifactRejected(f"the input {tensor.name!r} has more than one free axis per row")
        shape = (width,)
    return Slot(tensor.name, tensor.datatype, places, tuple(offsets), width, shape)


def _check_type(tensor: Tensor, ref: FeatureRef) -> None:
    text = tensor.datatype == "BYTES"
    fits = (
        (ref.dtype == "string") == text
        and (text or tensor.datatype in FLOATS or ref.dtype in _WHOLE)
        and (tensor.datatype != "BOOL" or ref.dtype == "bool")
    )
    if not fits:
        raise ArtifactRejected(
            f"the feature {ref.label} ({ref.dtype}) does not fit the input {tensor.name!r} "
            f"({tensor.datatype})"
        )


def _cells(value: Any, size: int) -> Sequence[Any]:
    """The elements of one feature value."""
    if value is None:
        return (None,) * size
    if not isinstance(value, list | tuple | np.ndarray):
        value = (value,)
    if len(value) != size:
        raise ValueError
    elements: Sequence[Any] = value
    return elements


def _misfit() -> Invalid:
    return Invalid("a feature value does not fit the model's input", code="inference_failed")
