"""The steps of ``neuralstream smoke``: the README's flow under names of its own."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from time import perf_counter
from typing import Any, Final, Literal

import httpx

from neuralstream_client import FeatureView, NeuralStream
from neuralstream_client.errors import (
    ApiError,
    ConnectionFailed,
    NeuralStreamError,
    NotFound,
)

__all__ = ["Flow", "Step", "StepFailed"]

_ROW: Final = {"tenure_months": 4, "monthly_charges": 79.5, "support_tickets": 3}
_DTYPES: Final = {
    "tenure_months": "int64",
    "monthly_charges": "float64",
    "support_tickets": "int64",
}
_PROBABILITY: Final = 0.87
"""Of the README's model for `_ROW`, to two digits."""
_REQUEST_SECONDS: Final = 35.0
_READY_SECONDS: Final = 60.0
_ROUTING_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.5


class StepFailed(NeuralStreamError):
    """A step's answer is not the expected one."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step that was taken.

    Args:
        name: of the step.
        status: ``failed`` for the last one if the stack is not well; ``left`` for what cannot be removed.
        milliseconds: that it took.
        found: what came back, in a few words.
        unreachable: no answer came at all.
    """

    name: str
    status: Literal["ok", "failed", "left"]
    milliseconds: float
    found: str
    unreachable: bool = False


class Flow:
    """Each step needs those before it; `cleanup` removes what they made.

    Args:
        ns: the client.
        model: name of the model, which stays; that of the view, which is random, when not given.
        job: runs a batch job of a model's version for an entity and answers what it found; none without it.
    """

    def __init__(
        self,
        ns: NeuralStream,
        *,
        model: str | None = None,
        job: Callable[[NeuralStream, str, str, str], str] | None = None,
    ) -> None:
        self.view = f"smoke_{secrets.token_hex(6)}"
        self.model = model or self.view
        self._ns = ns
        self._job = job
        self._entity = f"{self.view}-user"
        self._artifact = files("neuralstream_client.command").joinpath("smoke.onnx").read_bytes()
        self._view_made = False
        self._versions: list[str] = []

    def run(self, tell: Callable[[Step], object]) -> list[Step]:
        """Take the steps until one fails, then clean up; each is told to ``tell`` when it is done."""
        steps: list[Step] = []

        def note(step: Step) -> None:
            steps.append(step)
            tell(step)

        try:
            for name, action in self._steps():
                note(_taken(name, action))
                if steps[-1].status == "failed":
                    break
        finally:
            for step in self._cleanup():
                note(step)
        return steps

    def _steps(self) -> Iterator[tuple[str, Callable[[], str]]]:
        yield "health", self._health
        if self._ns.has_api_key:
            yield "refuse without key", self._refusal
        yield "view", self._view
        yield "write", self._write
        yield "read", self._read
        yield "register", self._register
        yield "promote", self._promote
        yield "predict", self._predict
        yield "batch", self._batch
        if self._job is not None:
            yield "job", partial(self._job, self._ns, self.model, self._versions[0], self._entity)
        yield "lineage", self._lineage
        yield "stats", self._stats
        yield "drift", self._drift

    def _health(self) -> str:
        # Just after a deployment the first answers may come from a function that is still starting.
        def ask() -> str:
            try:
                return self._ns.health().version
            except ApiError:
                return ""

        version = _until(ask, bool, _READY_SECONDS)
        return f"version {version or self._ns.health().version}"

    def _refusal(self) -> str:
        answer = httpx.get(f"{self._ns.url}/models", timeout=_REQUEST_SECONDS)
        _expect(answer.status_code == 401, f"GET /models without a key: {answer.status_code}")
        return "401"

    def _view(self) -> str:
        view = FeatureView.of(
            {
                "name": self.view,
                "entity": "user_id",
                "ttl_seconds": 3600,
                "features": _DTYPES,
                "description": "written by neuralstream smoke",
            }
        )
        self._view_made = True
        (made,) = self._ns.features.apply(view)
        return f"schema version {made.schema_version}"

    def _write(self) -> str:
        report = self._ns.features.write([{"user_id": self._entity, **_ROW}], view=self.view)
        _expect(report.written == 1, report)
        return "1 row"

    def _read(self) -> str:
        table = self._ns.features.read([self._entity], view=self.view)
        _expect({name: values[0] for name, values in table.columns.items()} == _ROW, table)
        return "what was written"

    def _register(self) -> str:
        features = [f"{self.view}:{name}" for name in _ROW]
        return self._registered({"format": "onnx", "features": features})

    def _promote(self) -> str:
        model = self._ns.models.promote(self.model, self._versions[0], reason="smoke test")
        _expect(model.production_version == self._versions[0], model)
        return f"{model.production_version} in production"

    def _predict(self) -> str:
        # A promotion reaches every process within ten seconds; until then the version before it answers.
        def ask() -> Any:
            try:
                return self._ns.predict(self.model, self._entity, return_features=True)
            except ApiError as error:
                return error

        def routed(got: Any) -> bool:
            return not isinstance(got, ApiError) and got.version == self._versions[0]

        answer = _until(ask, routed, _ROUTING_SECONDS)
        if isinstance(answer, ApiError):
            raise answer
        _expect(routed(answer) and answer.features == _ROW, answer)
        _expect(abs((answer.probability or 0) - _PROBABILITY) < 0.005, answer)
        return f"probability {answer.probability:.2f}, {answer.latency_ms:.1f} ms inside"

    def _batch(self) -> str:
        # Pinned: another process may not know of the promotion yet.
        ids = [self._entity, f"{self._entity}-unknown"]
        table = self._ns.predict_many(self.model, ids, version=self._versions[0])
        _expect(len(table) == 2 and [one.row for one in table.failures] == [1], table)
        return "1 prediction, 1 unknown entity named"

    def _lineage(self) -> str:
        found = self._ns.models.lineage(self.model).versions
        (version,) = [one for one in found if one.version == self._versions[0]]
        views = [
            f"{one.view} at schema version {one.schema_version}" for one in version.feature_views
        ]
        _expect(len(views) == 1, version)
        return f"{version.version} from {views[0]}"

    def _stats(self) -> str:
        versions = self._ns.monitoring.stats(self.model, window="1h").versions
        counted = sum(one.requests for one in versions if one.version == self._versions[0])
        _expect(counted >= 1, versions)
        return f"{counted} requests counted in the last hour"

    def _drift(self) -> str:
        report = self._ns.monitoring.drift(self.model, self._versions[0], window="1h")
        _expect(report.version == self._versions[0], report)
        return report.status

    def _registered(self, registration: dict[str, Any]) -> str:
        version = self._ns.models.register(self.model, registration, self._artifact)
        self._versions.append(version.version)
        _expect(version.status == "READY", version)
        return version.version

    def _cleanup(self) -> Iterator[Step]:
        """Remove what can be removed; a step that fails does not keep the next from being tried."""
        if self._versions:
            yield _taken("archive", self._archive)
        if self._view_made:
            yield _taken("delete view", self._delete_view)
        if self._versions:
            what = f"model {self.model}: a model has no deletion"
            yield Step("model", "left", 0.0, what)

    def _archive(self) -> str:
        """Archive the version that reads the view; one that reads none takes its place in production."""
        first = self._versions[0]
        if self._ns.models.get(self.model).production_version == first:
            second = self._registered(
                {"format": "onnx", "features": [f"request:{name}" for name in _ROW]}
            )
            self._ns.models.promote(self.model, second, reason="smoke test: clean up")
        self._ns.models.archive(self.model, first, reason="smoke test: clean up")
        return f"{first} archived"

    def _delete_view(self) -> str:
        try:
            return f"{self._ns.features.delete(self.view).rows_removed} rows"
        except NotFound:
            return "it was not made"


def _taken(name: str, action: Callable[[], str]) -> Step:
    start = perf_counter()
    try:
        found = action()
    except Exception as error:  # noqa: BLE001 - whatever it is, the step must be named
        kind = "" if isinstance(error, NeuralStreamError) else f"{type(error).__name__}: "
        unreachable = isinstance(error, ConnectionFailed)
        return Step(name, "failed", _since(start), f"{kind}{error}", unreachable)
    return Step(name, "ok", _since(start), found)


def _since(start: float) -> float:
    return round(1000 * (perf_counter() - start), 1)


def _until(ask: Callable[[], Any], done: Callable[[Any], bool], seconds: float) -> Any:
    """The first answer that is ``done``, or the last one when ``seconds`` have passed."""
    deadline = time.monotonic() + seconds
    while not done(answer := ask()) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return answer


def _expect(holds: bool, got: object) -> None:
    if not holds:
        raise StepFailed(f"unexpected answer: {got!s:.2000}")
