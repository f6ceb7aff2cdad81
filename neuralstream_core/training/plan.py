"""From the features that a training set names to lookups: which views, which columns of the labels, which
columns of the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from neuralstream_core.errors import FieldError
from neuralstream_core.features.listing import (
    SchemaSource,
    ServiceSource,
    expand,
    feature_of,
    invalid_features,
    views_of,
)
from neuralstream_core.features.references import FeatureReference, Reference, parse_reference
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.features.values import Dtype
from neuralstream_core.history.join import Output

__all__ = ["Plan", "ViewLookup", "named_columns", "plan_of"]


class ViewLookup(NamedTuple):
    """Features of one view for one entity of each label.

    Attributes:
        ids: the columns of the labels with its ids, in the order of the view's keys.
        outputs: by feature, columns of the result not yet named: the texts of references.
    """

    view: FeatureView
    ids: tuple[str, ...]
    outputs: list[Output]


class Plan(NamedTuple):
    """What is looked up.

    Attributes:
        lookups: each view and role once.
        features: the references, in the order of the result's columns.
        services: those that were named, as ``name@version``.
    """

    lookups: list[ViewLookup]
    features: list[FeatureReference]
    services: tuple[str, ...]

    @property
    def times(self) -> set[str]:
        """Texts of the references to features of dtype timestamp."""
        return {
            output.column
            for lookup in self.lookups
            for output in lookup.outputs
            if lookup.view.feature(output.feature).dtype is Dtype.TIMESTAMP
        }


def plan_of(
    features: Sequence[str],
    entity: Mapping[str, str],
    schemas: SchemaSource,
    services: ServiceSource,
) -> Plan:
    """What ``features`` of a request mean.

    Args:
        entity: the column of the labels by entity key or role; else it has the name of the key or role.

    Raises:
        Invalid: names each feature that is unknown, listed twice or not of a view, or a key in ``entity``
            that nothing is looked up by.
    """
    references: list[Reference] = []
    errors: list[FieldError] = []
    for place, text in enumerate(features):
        try:
            references.append(parse_reference(text))
        except ValueError as error:
            errors.append(FieldError(f"features.{place}", str(error)))
    if errors:
        raise invalid_features(errors)
    expanded = expand(references, services)
    found = [reference for _, reference in expanded.features]
    views, errors = views_of(found, schemas)
    lookups: dict[tuple[str, str | None], ViewLookup] = {}
    used: set[str] = set()
    for place, reference in [] if errors else expanded.features:
        if reference.view is None:
            message = "a value of the request has no history: keep it as a column of the labels"
            errors.append(FieldError(f"features.{place}", message))
            continue
        try:
            feature_of(reference, views)
        except ValueError as error:
            errors.append(FieldError(f"features.{place}", str(error)))
            continue
        view = views[reference.view]
        keys = view.keys if reference.role is None else (reference.role,)
        used.update(keys)
        lookup = lookups.setdefault(
            (view.name, reference.role),
            ViewLookup(view, tuple(entity.get(key, key) for key in keys), []),
        )
        lookup.outputs.append(Output(reference.feature, reference.text))
    errors += [
        FieldError(f"entity.{key}", "is neither a key of these views nor a role")
        for key in sorted(entity.keys() - used)
        if not errors
    ]
    if errors:
        raise invalid_features(errors)
    return Plan(list(lookups.values()), found, expanded.services)


def named_columns(features: Sequence[FeatureReference], labels: Sequence[str]) -> dict[str, str]:
    """The result's column of each feature, by the text of its reference.

    It is the bare name; where two features share that, or the labels have such a column, the whole text.
    Upper and lower case are the same.

    Raises:
        Invalid: even so two columns would have one name; names both.
    """
    short = Counter(reference.feature.lower() for reference in features)
    taken = {name.lower(): f"the labels' column {name}" for name in labels}
    found: dict[str, str] = {}
    for place, reference in enumerate(features):
        bare, text = reference.feature, reference.text
        unique = short[bare.lower()] == 1 and bare.lower() not in taken
        name = bare if unique else text
        if name.lower() in taken:
            message = f"{text} and {taken[name.lower()]} would be one column of the result"
            raise invalid_features([FieldError(f"features.{place}", message)])
        taken[name.lower()] = text
        found[text] = name
    return found
