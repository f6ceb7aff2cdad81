"""The evaluation of guards and ramps, every five minutes.

A rule looks back from the last whole minute over its windows, which lie side by side; only what was counted
since the present versions took the traffic, and since the guard was set, is looked at. What is decided rests
on counters alone, so a run may be repeated, come late or overlap another: of two that see the same broken
rule the registry lets one act (`neuralstream_core.registry.rollout_rules`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from neuralstream_core.errors import Conflict, NeuralStreamError
from neuralstream_core.monitoring.layout import HOUR, MINUTE, Window, last_hours
from neuralstream_core.monitoring.reader import Counts
from neuralstream_core.outcomes.guards import (
    PREFIX,
    Judged,
    Seen,
    judge_window,
    level,
    newest_broken,
)
from neuralstream_core.registry.issuer import Issuer
from neuralstream_core.registry.rollout import (
    WINDOW_SECONDS,
    Finding,
    Findings,
    Guard,
    GuardRule,
)
from neuralstream_core.registry.rollout_rules import Broken
from neuralstream_core.time import Clock, Micros, from_micros, to_micros

if TYPE_CHECKING:
    from datetime import datetime

    from neuralstream_core.monitoring.profile import Profile, ProfileCache
    from neuralstream_core.monitoring.reader import CounterReader, StoredCounters
    from neuralstream_core.registry.records import ModelRecord
    from neuralstream_core.registry.registry import Registry
    from neuralstream_core.registry.rollout_commands import Rollouts

__all__ = ["GuardEvaluation", "PerformanceJudge"]

_log = logging.getLogger("neuralstream.guards")

_GRACE: Final = 10_000_000
"""Microseconds after which the counts of a minute are complete."""
_BASELINE_HOURS: Final = 24
"""How long before the present production version its predecessor is looked at."""
_PAGE: Final = 100


class PerformanceJudge(Protocol):
    """Judges the rules about performance; see `neuralstream_core.outcomes.guarded_performance`."""

    def __call__(
        self,
        model: ModelRecord,
        version: str,
        baseline: str | None,
        rule: GuardRule,
        since: Micros,
        tests: int,
    ) -> Judged:
        """One rule on all outcomes of the predictions since ``since``."""


@dataclass(slots=True)
class _Done:
    """What a run did, by name of a counter."""

    models: int = 0
    judged: int = 0
    broken: int = 0
    trips: int = 0
    raced: int = 0
    steps: int = 0
    held: int = 0
    failed: int = 0


@dataclass(slots=True)
class _Counted:
    """The minutes of a version, read once, and its windows out of them."""

    profile: Profile
    profiles: Sequence[Profile]
    minutes: Mapping[int, StoredCounters]

    def seen(self, start: int, stop: int) -> Seen:
        """The minutes ``[start, stop)`` together."""
        some = [self.minutes[minute] for minute in range(start, stop)]
        return Seen.of(Counts.of(some, self.profiles), self.profile)


@dataclass(slots=True)
class _Case:
    """A model under judgement.

    Attributes:
        now: the minute up to which is looked, since the epoch.
        began: since when predictions may be looked at.
        since: the first whole minute after that.
        counted: by version.
        former: the former production version's counters, when it is the baseline.
    """

    model: ModelRecord
    guard: Guard
    now: int
    began: Micros
    since: int
    counted: dict[str, _Counted] = field(default_factory=dict)
    former: Seen | None = None

    @property
    def versions(self) -> list[str]:
        """Those that take traffic, those that are tried out before the one in production."""
        split = [v for v, share in (self.model.ab_split or {}).items() if share > 0]
        tried = [v for v in split if v != self.model.production_version]
        production = self.model.production_version
        kept = self.model.ab_split is None or production in split
        return [*tried, *([production] if production is not None and kept else [])]

    def baseline_of(self, version: str) -> str | None:
        """The version that ``version`` is compared with."""
        if self.model.ab_split is not None:
            production = self.model.production_version
            return None if version == production else production
        return self.model.history[-1] if self.model.history else None

    def tests(self) -> list[tuple[str, GuardRule]]:
        """What is judged: in a split its baseline is not compared with anything."""
        return [
            (version, rule)
            for version in self.versions
            for rule in self.guard.rules
            if rule.worse_than_baseline is None
            or self.model.ab_split is None
            or version != self.model.production_version
        ]


class GuardEvaluation:
    """Judges every model that has a guard or a ramp.

    Args:
        performance: judges rules about performance; ``None``: they are never broken.
    """

    def __init__(
        self,
        registry: Registry,
        rollouts: Rollouts,
        reader: CounterReader,
        profiles: ProfileCache,
        clock: Clock,
        performance: PerformanceJudge | None = None,
    ) -> None:
        self._registry = registry
        self._rollouts = rollouts
        self._reader = reader
        self._profiles = profiles
        self._clock = clock
        self._performance = performance

    def run(self) -> dict[str, int]:
        """Judge, act, and take the steps of ramps that are due; how many of what.

        Raises:
            NeuralStreamError: a model could not be judged; the others were.
        """
        done = _Done()
        failure: NeuralStreamError | None = None
        for model in self._models():
            done.models += 1
            try:
                self._one(model, done)
            except NeuralStreamError as error:
                _log.exception("a guard was not evaluated", extra={"model": model.name})
                done.failed += 1
                failure = error
        if failure is not None:
            raise failure
        return {name: getattr(done, name) for name in _Done.__slots__}

    def _models(self) -> Iterator[ModelRecord]:
        token: str | None = None
        while True:
            page = self._registry.models(limit=_PAGE, token=token)
            for model in page.records:
                if model.guard is not None or model.ramp is not None:
                    yield model
            if (token := page.next_token) is None:
                return

    def _one(self, listed: ModelRecord, done: _Done) -> None:
        model = self._registry.model(listed.name)  # the listing may be older
        findings: list[Finding] = []
        if model.guard is not None:
            case = self._case(model, model.guard)
            findings = [self._finding(case, version, rule) for version, rule in case.tests()]
            done.judged += len(findings)
            done.broken += sum(finding.status == "broken" for finding in findings)
            if model.guard.armed and self._tripped(case, findings, done):
                self._rollouts.note(model.name, Findings(at=self._at(), findings=tuple(findings)))
                return
        held = self._step(model, findings, done)
        if model.guard is not None:
            noted = Findings(at=self._at(), findings=tuple(findings), ramp=held)
            self._rollouts.note(model.name, noted)

    def _case(self, model: ModelRecord, guard: Guard) -> _Case:
        now = (self._clock() - _GRACE) // MINUTE
        began = to_micros(max(guard.since, model.serving_since or guard.since))
        case = _Case(model, guard, now, began, -(-began // MINUTE))
        counted = [rule for rule in guard.rules if not rule.metric.startswith(PREFIX)]
        if not counted:
            return case
        span = max(rule.windows * WINDOW_SECONDS[rule.window] // 60 for rule in counted)
        slices = [divmod(minute, 60) for minute in range(now - span, now)]
        for version in case.versions:
            record = self._registry.version(model.name, version)
            profiles = self._profiles.of(record)
            digests = [profile.digest for profile in profiles]
            found = self._reader.stored(model.name, version, digests, slices)
            minutes = {hour * 60 + (minute or 0): one for (hour, minute), one in found.items()}
            case.counted[version] = _Counted(profiles[0], profiles, minutes)
        compared = any(rule.worse_than_baseline is not None for rule in counted)
        if compared and model.ab_split is None and model.history:
            case.former = self._former(model, model.history[-1])
        return case

    def _former(self, model: ModelRecord, version: str) -> Seen:
        """What the former production version did in its last hours there."""
        profiles = self._profiles.of(self._registry.version(model.name, version))
        last = to_micros(model.serving_since or model.updated_at) // HOUR + 1
        window: Window = last_hours(last - _BASELINE_HOURS, last)
        return Seen.of(self._reader.read(model.name, version, profiles, window), profiles[0])

    def _finding(self, case: _Case, version: str, rule: GuardRule) -> Finding:
        if rule.metric.startswith(PREFIX):
            windows = [self._of_performance(case, version, rule)]
            in_a_row = rule.windows * newest_broken(windows)  # at each look it is about all of them
        else:
            windows = list(self._windows(case, version, rule))
            in_a_row = newest_broken(windows)
        if not windows:
            told = "has not had the traffic for a whole window yet"
            windows = [Judged(None, None, None, 0, told)]
        newest = windows[0]
        status = {True: "broken", False: "holds", None: "insufficient_data"}[newest.broken]
        return Finding.model_validate(
            {
                "version": version,
                "rule": rule.text,
                "status": status,
                "broken_windows": in_a_row,
                "value": newest.value,
                "baseline": newest.baseline,
                "n": newest.n,
                "sentence": f"{version}: {newest.sentence}",
            }
        )

    def _windows(self, case: _Case, version: str, rule: GuardRule) -> Iterator[Judged]:
        """The rule's windows, the newest first, as far back as they may be looked at."""
        minutes = WINDOW_SECONDS[rule.window] // 60
        alpha = level(len(case.tests()))
        base = case.baseline_of(version)
        for number in range(rule.windows):
            stop = case.now - number * minutes
            start = stop - minutes
            if start < case.since:
                return
            baseline = case.former
            if case.model.ab_split is not None:
                baseline = case.counted[base].seen(start, stop) if base in case.counted else None
            yield judge_window(rule, case.counted[version].seen(start, stop), baseline, alpha)

    def _of_performance(self, case: _Case, version: str, rule: GuardRule) -> Judged:
        if self._performance is None:
            return Judged(None, None, None, 0, "performance is not judged here")
        base, tests = case.baseline_of(version), len(case.tests())
        return self._performance(case.model, version, base, rule, case.began, tests)

    def _tripped(self, case: _Case, findings: Sequence[Finding], done: _Done) -> bool:
        """Act on the first rule that is broken in all of its windows; whether there was one."""
        for (version, rule), finding in zip(case.tests(), findings, strict=True):
            if finding.broken_windows < rule.windows:
                continue
            minutes = rule.windows * WINDOW_SECONDS[rule.window] // 60
            lately = "" if rule.metric.startswith(PREFIX) else f", for {minutes} minutes"
            broken = Broken(case.model, version, rule, f"{finding.sentence}{lately}")
            try:
                self._rollouts.trip(broken, Issuer("neuralstream-guard"))
                done.trips += 1
            except Conflict as error:
                # Somebody changed the model meanwhile: what they did stands.
                _log.info(
                    "a guard came too late", extra={"model": case.model.name, "why": error.detail}
                )
                done.raced += 1
            return True
        return False

    def _step(self, model: ModelRecord, findings: Sequence[Finding], done: _Done) -> str | None:
        """Take the ramp's next step if it is due; why not, if it is held."""
        ramp = model.ramp
        if ramp is None or ramp.next_at is None or to_micros(ramp.next_at) > self._clock():
            return None
        held = _held(model, findings)
        if held is None:
            reason = f"ramp: step {ramp.step + 2} of {len(ramp.steps)}"
            try:
                self._rollouts.advance(model, Issuer("neuralstream-ramp"), reason=reason)
                done.steps += 1
            except Conflict as error:
                if error.code == "superseded":
                    done.raced += 1
                else:
                    held = error.detail
        done.held += held is not None
        return held

    def _at(self) -> datetime:
        return from_micros(self._clock())


def _held(model: ModelRecord, findings: Sequence[Finding]) -> str | None:
    """Why a ramp's step is not taken."""
    guard, ramp = model.guard, model.ramp
    if guard is None or ramp is None:
        return None
    if not guard.armed:
        return "the guard has acted and was not armed again"
    broken = [finding for finding in findings if finding.status == "broken"]
    if broken:
        return broken[0].sentence
    if not any(f.status == "holds" and f.version == ramp.version for f in findings):
        return f"no rule could be judged on {ramp.version} yet"
    return None
