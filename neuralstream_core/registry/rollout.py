"""What a model stores of a careful release: its shadow version, its guard and its ramp."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal, TypeAlias

from pydantic import AwareDatetime, Field

from neuralstream_core.types import Record, VersionName

__all__ = [
    "MAX_RULES",
    "MAX_SPAN",
    "MAX_STEPS",
    "WINDOW_SECONDS",
    "Action",
    "Finding",
    "Findings",
    "Guard",
    "GuardRule",
    "Ramp",
    "RampStep",
    "Shadow",
    "Trip",
    "WindowLength",
]

Action: TypeAlias = Literal["rollback", "end_split", "announce"]
WindowLength: TypeAlias = Literal["5m", "15m", "1h"]

WINDOW_SECONDS: Final[dict[WindowLength, int]] = {"5m": 300, "15m": 900, "1h": 3600}
MAX_SPAN: Final = 2 * 3600
"""Seconds of all windows of a rule together: counters of minutes are kept for three hours."""
MAX_RULES: Final = 10
MAX_STEPS: Final = 20


class Shadow(Record):
    """A version that sees the traffic of the others and never answers."""

    version: VersionName = Field(description="the version")
    sample: float = Field(description="share of the requests it sees, above 0 and at most 1")
    since: AwareDatetime = Field(description="UTC")


class GuardRule(Record):
    """One bound on a version that takes traffic; exactly one of ``max``, ``min``, ``worse_than_baseline``."""

    metric: str = Field(
        description="`error_rate` (0 to 1), `p99_ms`, `drift` (largest PSI), or `performance.` and"
        " accuracy, log_loss, brier, mae or rmse"
    )
    max: float | None = Field(
        default=None, description="greatest value allowed; null: no such bound"
    )
    min: float | None = Field(default=None, description="least value allowed; null: no such bound")
    worse_than_baseline: float | None = Field(
        default=None,
        description="by how much the value may be worse than the baseline's, in its own unit: the"
        " production version's in a split, else the former production version's; null: no such bound",
    )
    windows: int = Field(
        default=2, description="so many windows in a row must break the bound; 1 to 24"
    )
    window: WindowLength = Field(
        default="5m", description="length of a window; all of them together at most 2 hours"
    )

    @property
    def text(self) -> str:
        """The rule in words: ``error_rate at most 0.05``."""
        if self.max is not None:
            bound = f"at most {self.max:g}"
        elif self.min is not None:
            bound = f"at least {self.min:g}"
        else:
            bound = f"at most {self.worse_than_baseline:g} worse than the baseline"
        return f"{self.metric} {bound}"


class Finding(Record):
    """What the last evaluation found about one version and one rule."""

    version: VersionName = Field(description="the version")
    rule: str = Field(description="the rule in words")
    status: Literal["holds", "broken", "insufficient_data"] = Field(
        description="`broken`: in the newest window, beyond chance; the guard acts when it was so in all of"
        " the rule's windows"
    )
    broken_windows: int = Field(description="how many windows in a row are broken, up to now")
    value: float | None = Field(description="in the newest window; null: nothing was counted")
    baseline: float | None = Field(description="what it is compared with; null: the bound alone")
    n: int = Field(description="rows, requests, values or outcomes behind the value")
    sentence: str = Field(description="the same in words")


class Findings(Record):
    """What the last evaluation of a guard found."""

    at: AwareDatetime = Field(description="when, UTC")
    findings: tuple[Finding, ...] = Field(description="one for each version and rule")
    ramp: str | None = Field(
        default=None,
        description="why the ramp did not take the step that is due; null: it is not held",
    )


class Trip(Record):
    """The last time that a guard acted."""

    at: AwareDatetime = Field(description="UTC")
    version: VersionName = Field(description="the version that broke the rule")
    rule: str = Field(description="the rule in words")
    found: str = Field(description="what was measured, in a sentence")
    done: Literal["rolled_back", "split_ended", "announced"] = Field(
        description="what the guard did"
    )


class Guard(Record):
    """Bounds that are evaluated every five minutes, and what happens when one is broken."""

    rules: tuple[GuardRule, ...] = Field(description="any one of them is enough")
    action: Action = Field(
        description="`rollback`: a split that the broken version takes part in ends, or production goes"
        " back to the former version; `end_split`: only the former; `announce`: only told"
    )
    since: AwareDatetime = Field(description="when it was set, UTC")
    armed: bool = Field(
        default=True,
        description="false after it rolled back or announced, until somebody promotes, rolls back, sets"
        " a split or sets the guard again",
    )
    last_trip: Trip | None = Field(default=None, description="null: it never acted")


class RampStep(Record):
    """A share of the traffic and for how long; ``seconds`` of the last step is null."""

    share: float = Field(
        description="of the traffic that the new version gets, above 0 and at most 1"
    )
    seconds: int | None = Field(description="until the next step; null: this is the last one")


class Ramp(Record):
    """Traffic that moves to a version step by step."""

    version: VersionName = Field(description="the version that gets more traffic with each step")
    steps: tuple[RampStep, ...] = Field(
        description="in order; a last share of 1 promotes the version"
    )
    step: int = Field(description="index of the step in force, from 0")
    since: AwareDatetime = Field(description="when that step began, UTC")

    @property
    def next_at(self) -> AwareDatetime | None:
        """When the next step is due; ``None`` on the last one."""
        seconds = self.steps[self.step].seconds
        return None if seconds is None else self.since + timedelta(seconds=seconds)
