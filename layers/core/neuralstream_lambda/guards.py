"""The evaluation of guards, ramps and declines, built from settings."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from neuralstream_core.time import system_clock
from neuralstream_lambda.metrics import emit, function_dimension
from neuralstream_lambda.performance import outcome_reader
from neuralstream_lambda.wiring import redis_port, s3_client, table

if TYPE_CHECKING:
    from neuralstream_core.outcomes.declining import DeclineEvaluation
    from neuralstream_core.outcomes.guarding import GuardEvaluation
    from neuralstream_lambda.outcomes import OutcomesSettings

__all__ = ["evaluated", "judged"]


def evaluated(settings: OutcomesSettings) -> dict[str, int]:
    """Judge the guards, act on those that are broken, take the steps of ramps; how many of what.

    Raises:
        Unavailable: try again.
    """
    done = _evaluation(settings).run()
    emit(
        system_clock(),
        function_dimension(),
        {
            "GuardsJudged": (done["judged"], "Count"),
            "GuardsBroken": (done["broken"], "Count"),
            "GuardTrips": (done["trips"], "Count"),
            "RampSteps": (done["steps"], "Count"),
        },
    )
    return done


@cache
def _evaluation(settings: OutcomesSettings) -> GuardEvaluation:
    from neuralstream_core.monitoring.profile import ProfileCache
    from neuralstream_core.monitoring.reader import Archive, CounterReader
    from neuralstream_core.outcomes.guarded_performance import GuardedPerformance
    from neuralstream_core.outcomes.guarding import GuardEvaluation
    from neuralstream_core.registry.artifacts import ArtifactStore
    from neuralstream_core.registry.registry import Registry
    from neuralstream_core.registry.rollout_commands import Rollouts

    registry = Registry(table(settings), settings.namespace, system_clock)
    archive = Archive(s3_client(), settings.data_bucket, settings.namespace)
    return GuardEvaluation(
        registry,
        Rollouts(registry),
        CounterReader(redis_port(settings), settings.namespace, archive),
        ProfileCache(ArtifactStore(s3_client(), settings.data_bucket).get_profile),
        system_clock,
        GuardedPerformance(registry, outcome_reader(settings), system_clock),
    )


def judged(settings: OutcomesSettings) -> dict[str, int]:
    """Judge the outcomes of closed hours against those that versions began with; how many of what.

    Raises:
        Unavailable: try again.
    """
    return dict(_declines(settings).run())


@cache
def _declines(settings: OutcomesSettings) -> DeclineEvaluation:
    from neuralstream_core.monitoring.profile import ProfileCache
    from neuralstream_core.outcomes.declining import DeclineEvaluation, DeclineStates
    from neuralstream_core.registry.artifacts import ArtifactStore
    from neuralstream_core.registry.registry import Registry

    return DeclineEvaluation(
        Registry(table(settings), settings.namespace, system_clock),
        outcome_reader(settings),
        ProfileCache(ArtifactStore(s3_client(), settings.data_bucket).get_profile),
        DeclineStates(table(settings), settings.namespace),
        emit=emit,
        clock=system_clock,
    )
