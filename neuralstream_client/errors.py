"""Every error that the client raises on purpose.

::

    NeuralStreamError
    ├── ConfigurationError    no address of a stack was given, or an option makes no sense
    ├── DataError             what was given cannot be sent: a missing column, a value without a JSON form
    ├── RowsRefused           rows of a write were refused; ``report`` names them and what was written
    ├── ConnectionFailed      no answer came: the address, the network or a timeout
    ├── JobFailed             a batch job ended as FAILED; ``job`` is its record
    ├── TrainingSetFailed     a training set ended as FAILED; ``record`` is it
    ├── WaitTimeout           what was waited for is not done yet; it goes on
    └── ApiError              the stack refused; the fields below
        ├── Unauthenticated       401: no API key, or one that is not known
        ├── Forbidden             403: the key lacks the scope of the route
        ├── NotFound              404: no such view, model, version, entity, job or schedule
        ├── Conflict              409: the request contradicts the present state
        ├── TooLarge              413: a size limit is exceeded
        ├── Invalid               400, 422: the request is wrong; ``places`` names where
        ├── TooManyRequests       429: throttled
        ├── Unavailable           503: a dependency is down; ``retry_after`` seconds
        └── ServerError           any other 5xx

Fields of `ApiError`:

=================  ====================================================================================
``code``           stable and machine-readable, such as ``missing_features``; ``http_502`` if the answer
                   did not come from NeuralStream itself
``status``         HTTP status
``detail``         one sentence from the stack
``places``         where the request is wrong: `Place` with ``loc`` (``rows.3.features.age``) and ``msg``
``request_id``     of the answer, for the logs of the stack; may be empty
``retry_after``    seconds after which a retry is worth it, if the answer says so
``cure``           one sentence: what to do about it
=================  ====================================================================================

The text of an `ApiError` holds all of them. Retries have already been made when an error is raised, where
sending the request again is safe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neuralstream_client.answers import Place
from neuralstream_client.cures import cure_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from neuralstream_client.answers import TrainingSet
    from neuralstream_client.jobs import AnyJob
    from neuralstream_client.reports import WriteReport

__all__ = [
    "ApiError",
    "ConfigurationError",
    "Conflict",
    "ConnectionFailed",
    "DataError",
    "Forbidden",
    "Invalid",
    "JobFailed",
    "NeuralStreamError",
    "NotFound",
    "Place",
    "RowsRefused",
    "ServerError",
    "TooLarge",
    "TooManyRequests",
    "TrainingSetFailed",
    "Unauthenticated",
    "Unavailable",
    "WaitTimeout",
    "api_error",
]

_SHOWN_PLACES = 5


class NeuralStreamError(Exception):
    """Base of all designed errors of the client."""


class ConfigurationError(NeuralStreamError):
    """No address of a stack was given, or an option makes no sense."""


class DataError(NeuralStreamError):
    """What was given cannot be sent."""


class RowsRefused(NeuralStreamError):
    """Rows of a write were refused.

    Args:
        report: the refused rows, and how many were written before and beside them.
    """

    def __init__(self, report: WriteReport) -> None:
        shown = [f"  {failure}" for failure in report.failures[:_SHOWN_PLACES]]
        if (more := len(report.failures) - _SHOWN_PLACES) > 0:
            shown.append(f"  and {more} more")
        lines = [
            f"rows of the write to {report.view} were refused; {report.written} were written",
            *shown,
        ]
        lines.append(
            "What to do: correct these rows, or write the others with on_invalid='skip'; "
            "writing a row again is safe."
        )
        super().__init__("\n".join(lines))
        self.report = report


class ConnectionFailed(NeuralStreamError):
    """No answer came; ``__cause__`` is httpx's error."""


class JobFailed(NeuralStreamError):
    """A job ended as FAILED.

    Args:
        job: its record; ``job.failure`` has the code and the reason.
    """

    def __init__(self, job: AnyJob) -> None:
        reason = f"{job.failure.code}: {job.failure.detail}" if job.failure else "no reason given"
        super().__init__(f"{job.job_id} failed: {reason}")
        self.job = job


class TrainingSetFailed(NeuralStreamError):
    """A training set ended as FAILED.

    Args:
        record: it; ``record.failure`` has the code and the reason.
    """

    def __init__(self, record: TrainingSet) -> None:
        failure = record.failure
        reason = f"{failure.code}: {failure.detail}" if failure else "no reason given"
        super().__init__(f"{record.training_set_id} failed: {reason}")
        self.record = record


class WaitTimeout(NeuralStreamError):
    """What was waited for is not done yet; it goes on without this process."""


class ApiError(NeuralStreamError):
    """The stack refused a request.

    Args:
        status: HTTP status.
        code: stable and machine-readable.
        detail: one sentence.
        places: where the request is wrong.
        request_id: of the answer.
        retry_after: seconds.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        places: Sequence[Place] = (),
        request_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.detail = detail
        self.places = tuple(places)
        self.request_id = request_id
        self.retry_after = retry_after
        self.cure = cure_of(code, status)
        super().__init__(self._text())

    def _text(self) -> str:
        lines = [f"{self.detail} [{self.status} {self.code}]"]
        lines += [f"  {place.loc}: {place.msg}" for place in self.places[:_SHOWN_PLACES]]
        if (more := len(self.places) - _SHOWN_PLACES) > 0:
            lines.append(f"  and {more} more")
        if self.cure:
            lines.append(f"What to do: {self.cure}")
        if self.request_id:
            lines.append(f"Request id: {self.request_id}")
        return "\n".join(lines)


class Unauthenticated(ApiError):
    """401: no API key, or one that is not known."""


class Forbidden(ApiError):
    """403: the key lacks the scope of the route."""


class NotFound(ApiError):
    """404: no such view, model, version, entity, job or schedule."""


class Conflict(ApiError):
    """409: the request contradicts the present state."""


class TooLarge(ApiError):
    """413: a size limit is exceeded."""


class Invalid(ApiError):
    """400 or 422: the request is wrong; nothing was changed."""


class TooManyRequests(ApiError):
    """429: throttled."""


class ServerError(ApiError):
    """5xx: an error of the stack."""


class Unavailable(ServerError):
    """503: a dependency is down or too slow."""


_CLASSES: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    422: Invalid,
    429: TooManyRequests,
    503: Unavailable,
}


def api_error(
    status: int, body: Any, *, request_id: str = "", retry_after: float | None = None
) -> ApiError:
    """The error of an answer.

    Args:
        status: HTTP status, at least 400.
        body: the parsed problem of NeuralStream, API Gateway's ``{"message"}``, V2's ``{"error"}``, or
            anything else.
        request_id: of the answer.
        retry_after: seconds.
    """
    fields: Mapping[str, Any] = body if isinstance(body, dict) else {}
    detail = fields.get("detail") or fields.get("message") or fields.get("error")
    known = _CLASSES.get(status, ServerError if status >= 500 else ApiError)
    return known(
        status,
        str(fields.get("code") or f"http_{status}"),
        str(detail or f"the stack answered {status}"),
        places=[Place.model_validate(place) for place in fields.get("errors") or ()],
        request_id=request_id,
        retry_after=retry_after,
    )
