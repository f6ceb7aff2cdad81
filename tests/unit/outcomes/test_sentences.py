"""What a comparison says: which version is better, or what it takes to know."""

from __future__ import annotations

import pytest

from neuralstream_core.outcomes.metrics import METRICS
from neuralstream_core.outcomes.sentences import comparison_sentence, duration
from neuralstream_core.outcomes.sequences import Arm, compare


def said(metric, arm, base, **outlook):
    outlook = {"effect": 0.02, "needed": None, "seconds": None} | outlook
    return comparison_sentence(
        "v2", "v1", METRICS[metric], (arm, base), compare(arm, base), **outlook
    )


def share(n, mean):
    return Arm(n, mean, mean * (1 - mean))


def test_a_shown_difference_says_which_version_is_better():
    assert said("accuracy", share(10_000, 0.92), share(10_000, 0.90)) == (
        "v2 is better than v1: accuracy 92 % against 90 % over 20,000 entities, a difference of "
        "+0.73 to +3.27 points at any look."
    )
    assert said("log_loss", Arm(9000, 0.36, 0.2), Arm(1000, 0.30, 0.2)).startswith(
        "v2 is worse than v1: log loss 0.36 against 0.3 over 10,000 entities, a difference of +0."
    )
    assert said("bias", Arm(5000, -0.1, 1.0), Arm(5000, -0.9, 1.0)).startswith("v2 is better")


def test_a_difference_that_is_not_shown_says_what_it_takes():
    arms = share(600, 0.91), share(5400, 0.90)
    assert said("accuracy", *arms, needed=16_200, seconds=260_000) == (
        "No difference between v2 and v1 is shown yet: accuracy 91 % against 90 % over 6,000 entities, "
        "a difference of −3.26 to +5.26 points at any look. A difference of 2 points would be found with "
        "90 % probability at 16,200 entities, 3 days from now at the present traffic."
    )
    assert said("accuracy", *arms, needed=16_200).endswith("at 16,200 entities.")
    assert said("accuracy", *arms, needed=900).endswith("found by now with 90 % probability.")
    assert said("accuracy", *arms).endswith("A difference of 2 points is out of reach.")
    assert said("accuracy", *arms, effect=0.0).endswith("at any look.")


def test_a_difference_too_small_to_matter_ends_the_waiting():
    assert said("accuracy", share(90_000, 0.90), share(90_000, 0.9005)).endswith(
        "There is no more to wait for."
    )
    assert said("mae", Arm(90_000, 2.0, 1.0), Arm(90_000, 2.001, 1.0), effect=0.1).startswith(
        "v2 and v1 differ by less than 0.1: mean absolute error 2 against 2.001 over 180,000"
    )


def test_too_few_entities_are_said_of_the_version_that_has_them():
    assert said("accuracy", share(41, 1.0), share(5000, 0.9)) == (
        "v2 has 41 entities, too few to compare v2 with v1: 100 needed of each."
    )
    assert said("accuracy", share(500, 1.0), share(500, 1.0)).startswith(
        "v2 and v1 are alike so far"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3, "a minute"),
        (600, "10 minutes"),
        (7200, "2 hours"),
        (90_000, "25 hours"),
        (1e6, "12 days"),
    ],
)
def test_a_time_to_wait_is_in_words(seconds, text):
    assert duration(seconds) == text
