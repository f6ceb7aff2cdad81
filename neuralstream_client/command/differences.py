"""How declared feature views differ from those of a stack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from neuralstream_client import Feature, FeatureView, NeuralStream
from neuralstream_client.errors import NotFound

__all__ = ["ViewDifference", "differences"]


@dataclass(frozen=True, slots=True)
class ViewDifference:
    """One view.

    Args:
        view: its name.
        action: ``refused`` if the stack would not accept the declared view.
        changes: one sentence each.
    """

    view: str
    action: Literal["create", "change", "same", "refused"]
    changes: tuple[str, ...] = ()


def differences(ns: NeuralStream, declared: Iterable[FeatureView]) -> list[ViewDifference]:
    """How each declared view differs from the stack's view of that name; other views are left alone."""
    return [_difference(ns, view) for view in declared]


def _difference(ns: NeuralStream, declared: FeatureView) -> ViewDifference:
    try:
        present = FeatureView.of(ns.features.get(declared.name))
    except NotFound:
        features = ", ".join(f"{one.name} {_type(one)}" for one in declared.features)
        return ViewDifference(
            declared.name, "create", (f"entity {', '.join(declared.keys)}", f"features {features}")
        )
    if refused := tuple(_refused(present, declared)):
        return ViewDifference(declared.name, "refused", refused)
    changed = tuple(_changed(present, declared))
    return ViewDifference(declared.name, "change" if changed else "same", changed)


def _refused(present: FeatureView, declared: FeatureView) -> Iterator[str]:
    """What a stack never accepts; docs/features.md has the rules."""
    if present.keys != declared.keys:
        keys = ", ".join(present.keys)
        yield f"the entity is {keys} and cannot become {', '.join(declared.keys)}"
    wanted = {feature.name: feature for feature in declared.features}
    for old in present.features:
        new = wanted.get(old.name)
        if new is None:
            yield f"feature {old.name} cannot be removed"
        elif _type(new) != _type(old):
            yield f"feature {old.name} is {_type(old)} and cannot become {_type(new)}"


def _changed(present: FeatureView, declared: FeatureView) -> Iterator[str]:
    known = {feature.name: feature for feature in present.features}
    for new in declared.features:
        old = known.get(new.name)
        if old is None:
            yield f"+ feature {new.name} {_type(new)}"
            continue
        for field in ("description", "default"):
            before, after = getattr(old, field), getattr(new, field)
            if before != after:
                yield f"~ feature {new.name}: {field} {before!r} → {after!r}"
    for field in ("ttl_seconds", "history", "description", "owner", "tags"):
        before, after = getattr(present, field), getattr(declared, field)
        if before != after:
            yield f"~ {field} {before!r} → {after!r}"


def _type(feature: Feature) -> str:
    return f"{feature.dtype}{feature.shape or ''}"
