"""When failing rows are more than the usual few: a test by error code.

Every failed row counts, whether its request failed as a whole or it was one of a batch.

**Missing features.** Refused rows are expected where the baseline has missing values: at most the sum of
the missing shares of those features whose missing cells the version's policy refuses. That bound holds
however the missing cells fall together, so a baseline with gaps raises no false alarm. Fisher's exact test
compares the share with the baseline's bound, besides the test below.

**Every code.** A code is an alarm when the exact binomial test against a usual 0.1 % of the rows says p < α
and at least 1 % (warning) or 5 % (drift) of the rows failed with it. All other codes are also tested
together, so that ten codes of 0.9 % do not hide behind each other. These are one test of the false-alarm
budget: no code's count exceeds the count of all, so none can be a false alarm unless the test of all is one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from neuralstream_core.errors import NotFound
from neuralstream_core.monitoring.decision import MIN_SAMPLES, DriftStatus, Rate, graded
from neuralstream_core.monitoring.layout import NO_VERSION
from neuralstream_core.monitoring.statistics import binomial_greater, fisher_greater
from neuralstream_core.registry.records import MissingPolicy

if TYPE_CHECKING:
    from neuralstream_core.monitoring.profile import Profile
    from neuralstream_core.registry.records import ModelRecord, VersionRecord
    from neuralstream_core.registry.registry import Registry

__all__ = [
    "ALL_CODES",
    "MISSING_FEATURES",
    "FailureTest",
    "Refusals",
    "Traffic",
    "default_version",
    "expected_refusals",
    "judge_failures",
    "judged_versions",
]

MISSING_FEATURES: Final = "missing_features"
"""Code of a row whose missing cells the version's policy does not fill."""
ALL_CODES: Final = "errors"
"""Name of the series of all codes but `MISSING_FEATURES` together."""
_MAX_CODES: Final = 20
_USUAL: Final = 0.001
"""Share of rows whose failing is nothing unusual."""
_WARNING: Final = 0.01
_DRIFT: Final = 0.05
"""Share of rows that fail beyond what is expected."""
_CAN_BE_MISSING: Final = frozenset({"FP64", "FP32", "FP16", "BYTES"})


class Refusals(NamedTuple):
    """How many of the baseline's ``rows`` rows the version's policy would have refused, at most."""

    refused: int = 0
    rows: int = 0


@dataclass(slots=True)
class Traffic:
    """What became of a window's rows.

    Attributes:
        answered: rows.
        failed: rows without an answer, by error code.
        lost: calls that could not be recorded when they happened.
    """

    answered: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    lost: int = 0

    @property
    def failures(self) -> int:
        """Rows without an answer."""
        return sum(self.failed.values())

    @property
    def rows(self) -> int:
        """All rows."""
        return self.answered + self.failures

    def add(self, answered: int, failed: Mapping[str, int], lost: int) -> None:
        """Take more rows into account."""
        self.answered += answered
        self.lost += lost
        self.failed = Counter(self.failed) + Counter(failed)


@dataclass(frozen=True, slots=True)
class FailureTest:
    """The rows that failed with one code, or with ``codes`` of them.

    Attributes:
        n_reference: baseline rows behind the expected share; 0 where none is expected.
    """

    code: str
    codes: int
    failed: int
    rows: int
    n_reference: int
    test: Rate


def default_version(model: ModelRecord) -> str | None:
    """The version that a call without a version is meant for; calls that failed before a version was
    chosen count with it."""
    return model.production_version or model.latest_version


def judged_versions(
    active: Iterable[tuple[str, str]], registry: Registry
) -> dict[tuple[str, str], bool]:
    """The versions to judge among those with traffic, and whether calls without a version count with each.

    Args:
        active: model and version, which may be `layout.NO_VERSION`.
    """
    found = dict.fromkeys(active, False)
    for model in [model for model, version in found if version == NO_VERSION]:
        del found[model, NO_VERSION]
        with suppress(NotFound):
            default = default_version(registry.model(model))
            if default is not None:
                found[model, default] = True
    return found


def expected_refusals(version: VersionRecord, profile: Profile) -> Refusals:
    """Rows of the baseline that could have been refused for missing cells."""
    policy, signature = version.missing, version.signature
    if (
        policy is MissingPolicy.NULL
        and signature is not None
        and all(tensor.datatype in _CAN_BE_MISSING for tensor in signature.inputs)
    ):
        return Refusals()
    rate, rows = 0.0, 0
    for series in profile.series:
        if series.kind != "feature" or series.reference is None:
            continue
        default = version.features[series.source].default
        if policy is MissingPolicy.DEFAULT and default is not None:
            continue
        total = sum(series.reference)
        if total:
            missing = sum(series.reference[series.missing_slot : series.missing_slot + 2])
            rate += missing / total
            rows = min(rows or total, total)
    return Refusals(round(min(rate, 1.0) * rows), rows)


def judge_failures(traffic: Traffic, refusals: Refusals, *, alpha: float) -> list[FailureTest]:
    """Each code with failed rows, the most frequent first, and all codes but missing features together.

    Args:
        alpha: level of each test, see `decision.alpha_for`.
    """
    n = traffic.rows

    def tested(code: str, k: int, codes: int, expected: Refusals) -> FailureTest:
        return FailureTest(code, codes, k, n, expected.rows, _test(k, n, expected, alpha))

    found: list[FailureTest] = []
    if k := traffic.failed.get(MISSING_FEATURES):
        found.append(tested(MISSING_FEATURES, k, 1, refusals))
    others = {code: k for code, k in traffic.failed.items() if k and code != MISSING_FEATURES}
    for code, k in sorted(others.items(), key=lambda item: (-item[1], item[0]))[:_MAX_CODES]:
        found.append(tested(code, k, 1, Refusals()))
    if len(others) > 1:
        found.append(tested(ALL_CODES, sum(others.values()), len(others), Refusals()))
    return found


def _test(k: int, n: int, expected: Refusals, alpha: float) -> Rate:
    now = k / n
    was = expected.refused / expected.rows if expected.rows else 0.0
    p = binomial_greater(k, n, _USUAL)
    if expected.refused:
        p = max(p, fisher_greater(k, n, expected.refused, expected.rows))
    status = DriftStatus.INSUFFICIENT_DATA
    if n >= MIN_SAMPLES:
        status = graded(now - was if p < alpha else 0.0, _WARNING, _DRIFT)
    return Rate(reference=was, current=now, p=p, status=status)
