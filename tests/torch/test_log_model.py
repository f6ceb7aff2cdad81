"""Small modules of torch, logged as they answer: ``make test-torch``.

Not among the other tests: with its CUDA libraries torch takes gigabytes, which no other test needs. The
target installs it beside the environment.
"""

from __future__ import annotations

import numpy as np
import pytest

from neuralstream_client import NeuralStream
from neuralstream_client.log_model import Options, prepare

torch = pytest.importorskip("torch")

X = np.random.default_rng(5).normal(size=(200, 4)).astype(np.float32)


@pytest.fixture
def module():
    """``module(width)`` → a small network with a layer that behaves differently in training."""

    def made(width):
        torch.manual_seed(3)
        nn = torch.nn
        return nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, width)
        )

    return made


@pytest.mark.parametrize(
    ("width", "options"),
    [
        (1, {}),
        (2, {"outputs": ["up", "down"]}),
        (1, {"classes": ["no", "yes"]}),
        (3, {"classes": ["low", "mid", "top"]}),
    ],
    ids=["a number", "two numbers", "two classes of one logit", "three classes"],
)
def test_a_module_is_exported_as_it_answers_when_it_is_not_trained(module, width, options):
    prepared = prepare(module(width), X, None, Options(**options))
    assert (prepared.report.failed, prepared.report.ties) == (0, 0)
    assert prepared.report.rows["data"] == len(X)
    assert prepared.report.max_difference < 1e-5
    assert prepared.report.made_by == "torch, float32"


def test_probabilities_are_not_taken_for_logits(module):
    softmax = torch.nn.Sequential(module(3), torch.nn.Softmax(dim=1))
    options = Options(classes=["low", "mid", "top"], scores="probability")
    assert prepare(softmax, X, None, options).report.failed == 0


def test_a_module_of_another_width_than_its_rows_says_so_in_the_words_of_torch(module):
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        prepare(module(1), X[:, :3], None, Options())


def test_a_module_is_served_as_it_answers(stack, module):
    classes = ["low", "mid", "top"]
    network = module(len(classes))
    with NeuralStream(stack.url) as ns:
        logged = ns.log_model("torch", network, X, classes=classes, promote=True)
        answers = ns.predict_many("torch", served_rows(20)).rows
    assert logged.record.status == "READY"
    with torch.no_grad():
        wanted = torch.softmax(network(torch.from_numpy(X[:20])), dim=1).numpy()
    for answer, probabilities in zip(answers, wanted, strict=True):
        assert answer["prediction"] == classes[probabilities.argmax()]
        served = [answer[f"probabilities.{label}"] for label in classes]
        assert served == pytest.approx(probabilities, abs=1e-5)


def served_rows(count):
    """Rows as a request has them."""
    columns = {f"f{place}": X[:count, place].tolist() for place in range(X.shape[1])}
    return {"entity_id": [f"e{row}" for row in range(count)], **columns}
