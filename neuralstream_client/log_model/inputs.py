"""The columns of ``X`` as the features that a version lists, in the model's order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from neuralstream_client.log_model.errors import LogModelError
from neuralstream_client.log_model.members import of_lightgbm, parts_of
from neuralstream_client.log_model.names import called, feature_names
from neuralstream_client.log_model.table import Table
from neuralstream_client.services import without_role

__all__ = ["Features", "Mapped", "aligned", "mapped"]

Features = Sequence[str] | Mapping[str, str]
"""``view:feature`` or ``view@role:feature`` for each column in order, or by column."""

_MOST: Final = 500


@dataclass(frozen=True)
class Mapped:
    """The rows, and what their columns are called.

    Attributes:
        labels: ``view:feature``, ``view@role:feature`` or ``request:name`` for each column.
        renamed: feature → column, of the columns that are called otherwise.
    """

    table: Table
    labels: tuple[str, ...]
    renamed: dict[str, str]

    @property
    def listed(self) -> list[Any]:
        """The ``features`` of a registration."""
        return [
            {"feature": label, "dtype": column.dtype} if label.startswith("request:") else label
            for label, column in zip(self.labels, self.table.columns, strict=True)
        ]

    def listed_as(self, texts: Sequence[str] | None) -> list[Any]:
        """The same with ``texts`` in place of the features, if given: the names of services among them."""
        if texts is None:
            return self.listed
        entries = dict(zip(self.labels, self.listed, strict=True))
        return [entries.get(text, text) for text in texts]


def aligned(model: Any, table: Table) -> Table:
    """The columns in the order in which the model was fitted.

    Raises:
        LogModelError: columns are missing, or there are others.
    """
    known = getattr(model, "feature_names_in_", None)
    if known is None and type(model).__name__.startswith("CatBoost") and table.form != "array":
        known = model.feature_names_
    if known is not None and [str(name) for name in known] == _unnamed(len(known)):
        known = None
    count = getattr(model, "n_features_in_", None)
    if known is None:
        if count is not None and int(count) != len(table.columns):
            raise LogModelError(
                f"the model was fitted with {count} columns, X has {len(table.columns)}"
            )
        return table
    names = [str(name) for name in known]
    if table.form == "array":
        if len(names) != len(table.columns):
            raise LogModelError(
                f"the model was fitted with {len(names)} columns, X has {len(table.columns)}"
            )
        pairs = zip(names, table.columns, strict=True)
        return Table(tuple(replace(column, name=name) for name, column in pairs), "pandas")
    by_name = {column.name: column for column in table.columns}
    # LightGBM renames columns, and a vote or stack may take its names; a pipeline has its own.
    if not by_name.keys() >= set(names) and any(map(of_lightgbm, parts_of(model))):
        by_name = {name.replace(" ", "_"): column for name, column in by_name.items()}
    missing = [name for name in names if name not in by_name]
    further = [name for name in by_name if name not in names]
    if missing or further:
        raise LogModelError(
            "X has not the columns that the model was fitted with: "
            f"missing {missing[:10] or 'none'}, not known to the model {further[:10] or 'none'}"
        )
    return replace(table, columns=tuple(by_name[name] for name in names))


def _unnamed(count: int) -> list[str]:
    """What LightGBM calls the columns of an array."""
    return [f"Column_{place}" for place in range(count)]


def mapped(
    table: Table,
    features: Features | str | None,
    view: str | None,
    dtypes: Mapping[str, str] | None,
) -> Mapped:
    """Which feature each column is.

    Args:
        features: for columns that are named here; a list names all, in order; one text is such a list.
        view: the view of the other columns; without one they are sent with each request.
        dtypes: types of features by ``view:feature``, as their views declare them.

    Raises:
        LogModelError: names or types do not fit.
    """
    columns = table.names
    if len(columns) > _MOST:
        raise LogModelError(f"X has {len(columns)} columns; a version has at most {_MOST} features")
    if isinstance(features, str):
        features = [features]
    if features is None:
        features = {}
    elif not isinstance(features, Mapping):
        if len(features) != len(columns):
            raise LogModelError(
                f"features lists {len(features)} features for {len(columns)} columns"
            )
        _check_order(table, features)
        features = dict(zip(columns, features, strict=True))
    for column in features:
        if column not in columns:
            raise LogModelError(f"features names the column {column!r}, which X does not have")
    rest = [column for column in columns if column not in features]
    named = dict(zip(rest, feature_names(rest), strict=True))
    labels = [
        _label(features[column]) if column in features else f"{view or 'request'}:{named[column]}"
        for column in columns
    ]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise LogModelError(f"two columns are the feature {twice[0]}")
    renamed = {
        label: column
        for label, column in zip(labels, columns, strict=True)
        if label.partition(":")[2] != column
    }
    if dtypes is not None:
        own = [column.dtype for column in table.columns]
        table = table.typed(
            [
                dtypes.get(without_role(label), dtype)
                for label, dtype in zip(labels, own, strict=True)
            ]
        )
    return Mapped(table, tuple(labels), renamed)


def _check_order(table: Table, features: Sequence[str]) -> None:
    """That no column is called like the feature of another column.

    Raises:
        LogModelError: one is.
    """
    if table.form == "array":
        return
    for column, feature in zip(table.names, features, strict=True):
        named = [other for other in features if column in called(other)]
        if len(named) == 1 and named[0] != feature:
            raise LogModelError(
                f"the column {column!r} is listed as {feature}, but is called like {named[0]}: bring the "
                "columns of X into the order of the list, or give features={column: feature}"
            )


def _label(feature: str) -> str:
    view, colon, name = feature.partition(":")
    if not (view and colon and name):
        raise LogModelError(
            f"the feature {feature!r} is not of the form view:feature or view@role:feature"
        )
    return feature
