"""What the registry's routes take, besides the body that registers a version (``registration``)."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import Field, StringConstraints, model_validator

from neuralstream_core.registry.rollout import (
    MAX_RULES,
    MAX_SPAN,
    MAX_STEPS,
    WINDOW_SECONDS,
    Action,
    GuardRule,
    RampStep,
    WindowLength,
)
from neuralstream_core.registry.rules import ANY, MAX_SPLIT
from neuralstream_core.types import (
    Bounded,
    Description,
    Frozen,
    Reason,
    Tags,
    VersionName,
)

__all__ = [
    "ArchiveRequest",
    "GateSpec",
    "GuardRequest",
    "GuardRuleSpec",
    "LogSpec",
    "ModelEdit",
    "PromoteRequest",
    "RampRequest",
    "RollbackRequest",
    "ShadowRequest",
    "SplitRequest",
    "VersionEdit",
]

WHY: Final = "for the audit trail, at most 1024 characters"
ABOUT: Final = "for people, at most 2048 characters; in place of the present one"
TAGS: Final = "text by key, at most 50; in place of the present ones"


_Duration: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,4}[smhd]$")]
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LEAST_PSI: Final = 0.1
"""Below it a difference of distributions is of no practical size."""


class RollbackRequest(Frozen):
    """The optional body of ``POST /models/{name}/rollback``."""

    reason: Reason | None = Field(default=None, description=WHY)
    expected_production: VersionName | None = Field(
        default=None,
        description="answer 409 unless this version (null: none) is in production; not checked when"
        " left out",
    )

    @property
    def expected(self) -> str | None:
        return self.expected_production if "expected_production" in self.model_fields_set else ANY


class PromoteRequest(RollbackRequest):
    """The optional body of ``POST /models/{name}/promote/{version}``."""

    stage: Literal["production", "staging"] = Field(
        default="production", description="`staging` takes an archived version back"
    )


class ArchiveRequest(Frozen):
    """The optional body of ``POST /models/{name}/versions/{version}/archive``."""

    reason: Reason | None = Field(default=None, description=WHY)


class RampRequest(Frozen):
    """Traffic that moves to a version step by step."""

    version: VersionName = Field(description="the version that gets more traffic with each step")
    steps: Annotated[
        list[tuple[float, _Duration | None]], Field(min_length=1, max_length=MAX_STEPS)
    ] = Field(
        description='`[[0.05, "1h"], [0.25, "4h"], [1.0, null]]`: share of the traffic and for how long'
        " (`s`, `m`, `h` or `d`); shares rise, null ends the list, a last share of 1 promotes; at most 20"
    )

    def parsed(self) -> list[RampStep]:
        """The steps as a model stores them."""
        return [
            RampStep(share=share, seconds=None if duration is None else _seconds(duration))
            for share, duration in self.steps
        ]


def _seconds(duration: str) -> int:
    return int(duration[:-1]) * _UNITS[duration[-1]]


class SplitRequest(Frozen):
    """The body of ``POST /models/{name}/ab-split``: either ``split`` or ``ramp``."""

    split: Annotated[dict[VersionName, float], Field(min_length=1, max_length=MAX_SPLIT)] | None = (
        Field(
            default=None,
            description="weight by version, each from 0 to 1, together 1; at most 20 versions",
        )
    )
    ramp: RampRequest | None = Field(
        default=None, description="in place of split: shares that rise by themselves"
    )
    reason: Reason | None = Field(default=None, description=WHY)

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.split is None) == (self.ramp is None):
            raise ValueError("give either split or ramp")
        return self


class ShadowRequest(Frozen):
    """The body of ``POST /models/{name}/shadow``."""

    version: VersionName = Field(description="a version that takes no traffic")
    sample: float = Field(
        default=1.0, gt=0, le=1, description="share of the requests it sees, above 0 and at most 1"
    )
    reason: Reason | None = Field(default=None, description=WHY)


class GuardRuleSpec(Frozen):
    """One bound on every version that takes traffic."""

    metric: Annotated[
        str,
        StringConstraints(
            pattern=r"^(error_rate|p99_ms|drift|performance\.(accuracy|log_loss|brier|mae|rmse))$"
        ),
    ] = Field(
        description="`error_rate` (0 to 1), `p99_ms`, `drift` (largest PSI), or `performance.` and"
        " accuracy, log_loss, brier, mae or rmse"
    )
    max: float | None = Field(default=None, description="greatest value allowed")
    min: float | None = Field(default=None, description="least value allowed; of performance only")
    worse_than_baseline: float | None = Field(
        default=None,
        ge=0,
        description="by how much it may be worse than the production version in a split, else than the"
        " former production version, in its own unit; not of drift",
    )
    windows: int = Field(
        default=2, ge=1, le=24, description="so many windows in a row must break the bound"
    )
    window: WindowLength = Field(
        default="5m", description="length of a window; all of them together at most 2 hours"
    )

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        given = [b for b in (self.max, self.min, self.worse_than_baseline) if b is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of max, min and worse_than_baseline")
        if self.metric == "error_rate" and not 0 <= given[0] < 1:
            raise ValueError("an error rate lies between 0 and 1")
        if self.metric == "p99_ms" and self.max is not None and self.max <= 0:
            raise ValueError("a latency is greater than 0")
        if self.metric == "drift" and (self.max is None or self.max < _LEAST_PSI):
            raise ValueError(f"drift takes a max of at least {_LEAST_PSI}")
        if self.min is not None and not self.metric.startswith("performance."):
            raise ValueError(f"{self.metric} takes no min")
        if self.windows * WINDOW_SECONDS[self.window] > MAX_SPAN:
            raise ValueError("all windows together may take at most 2 hours")
        return self


class GuardRequest(Frozen):
    """The body of ``PUT /models/{name}/guard``."""

    rules: Annotated[list[GuardRuleSpec], Field(min_length=1, max_length=MAX_RULES)] = Field(
        description="1 to 10; any one of them is enough"
    )
    action: Action = Field(
        default="rollback",
        description="`rollback`: a split that the broken version takes part in ends, or production goes"
        " back to the former version; `end_split`: only the former; `announce`: only told",
    )
    reason: Reason | None = Field(default=None, description=WHY)

    def parsed(self) -> list[GuardRule]:
        """The rules as a model stores them."""
        return [GuardRule(**dict(rule)) for rule in self.rules]


class GateSpec(Frozen):
    """Bounds of a metric, both inclusive; at least one."""

    min: float | None = Field(default=None, description="least value allowed")
    max: float | None = Field(default=None, description="greatest value allowed")

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is greater than max")
        return self


class LogSpec(Frozen):
    """Which predictions are kept in the prediction log."""

    sample: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="share of the predictions, 0 to 1, chosen by a hash of their ids; 0: none",
    )
    features: bool = Field(
        default=False,
        description="whether what the model saw is kept too, for slices of the performance; at most 32 KB a"
        " prediction",
    )
    jobs: bool = Field(
        default=False,
        description="whether rows of batch jobs are kept as well, which makes a job take half as long again",
    )


class _Edit(Frozen):
    description: Annotated[Description, Bounded] | None = Field(default=None, description=ABOUT)
    tags: Annotated[Tags, Bounded] | None = Field(default=None, description=TAGS)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.changes():
            raise ValueError("nothing to change")
        return self

    def changes(self) -> dict[str, Any]:
        """The fields to set, as a record takes them."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class ModelEdit(_Edit):
    """The body of ``PATCH /models/{name}``; what is left out stays."""

    require: (
        Annotated[
            dict[
                Annotated[str, StringConstraints(pattern=r"^metrics\.[A-Za-z0-9_./@-]{1,128}$")],
                GateSpec,
            ],
            Field(max_length=50),
        ]
        | None
    ) = Field(
        default=None,
        description="bounds by metric (`metrics.auc`) that a version must keep to be promoted, in place"
        " of the present ones; `{}` removes them; at most 50",
    )
    log: LogSpec | None = Field(
        default=None,
        description="which predictions are kept for the outcomes that come later, in place of the present"
        " setting",
    )


class VersionEdit(_Edit):
    """The body of ``PATCH /models/{name}/versions/{version}``; what is left out stays."""
