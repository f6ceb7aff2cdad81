"""``ns.schedules``: batch prediction jobs that start at given times."""

from __future__ import annotations

from collections.abc import Iterator

from neuralstream_client._sync.jobs import InputFormat, OutputFormat
from neuralstream_client._sync.transport import Transport
from neuralstream_client.answers import ScheduleAnswer, ScheduleDeletion
from neuralstream_client.call import Call, path

__all__ = ["Schedules"]


class Schedules:
    """Schedules of batch prediction jobs."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def put(
        self,
        name: str,
        *,
        model: str,
        input: str,  # noqa: A002 - the name of the API's field
        output: str,
        expression: str,
        timezone: str | None = None,
        enabled: bool = True,
        input_format: InputFormat | None = None,
        output_format: OutputFormat | None = None,
        version: str | None = None,
        max_failed_fraction: float | None = None,
        allow_empty: bool = False,
        description: str | None = None,
        expected_revision: int | None = None,
    ) -> ScheduleAnswer:
        """Create a schedule, or replace it.

        Args:
            name: of the schedule.
            model: the model.
            input: as of a job; ``{yyyy}``, ``{mm}``, ``{dd}``, ``{HH}``, ``{MM}`` are the scheduled time.
            output: as ``input``.
            expression: ``rate(5 minutes)``, ``cron(0 3 * * ? *)`` or ``at(2030-01-31T03:00:00)``.
            timezone: IANA name; UTC when not given.
            enabled: ``False`` keeps the schedule and starts nothing.
            input_format: see `Jobs.submit`.
            output_format: see `Jobs.submit`.
            version: pins a version.
            max_failed_fraction: see `Jobs.submit`.
            allow_empty: see `Jobs.submit`.
            description: for people.
            expected_revision: change it only if this is its revision; 0: only if there is none.

        Raises:
            Conflict: it has another revision.
            Invalid: the expression, time zone or a location is wrong.
            NotFound: there is no such model or version.
        """
        body = {
            "model": model,
            "input": input,
            "output": output,
            "expression": expression,
            "timezone": timezone,
            "enabled": enabled,
            "input_format": input_format,
            "output_format": output_format,
            "version": version,
            "max_failed_fraction": max_failed_fraction,
            "allow_empty": allow_empty or None,
            "description": description,
            "expected_revision": expected_revision,
        }
        given = {field: value for field, value in body.items() if value is not None}
        call = Call.of("PUT", path("/schedules/{}", name), body=given)
        return self._transport.fetch(ScheduleAnswer, call)

    def get(self, name: str) -> ScheduleAnswer:
        """One schedule with its next and last runs.

        Raises:
            NotFound: there is none of this name.
        """
        call = Call.of("GET", path("/schedules/{}", name))
        return self._transport.fetch(ScheduleAnswer, call)

    def list(self, *, page_size: int = 50) -> Iterator[ScheduleAnswer]:
        """All schedules by name."""
        query = {"limit": page_size}
        return self._transport.pages(
            "/schedules", "schedules", ScheduleAnswer.model_validate, query
        )

    def delete(self, name: str) -> ScheduleDeletion:
        """Delete a schedule; jobs that it started go on.

        Raises:
            NotFound: there is none of this name.
        """
        call = Call.of("DELETE", path("/schedules/{}", name))
        return self._transport.fetch(ScheduleDeletion, call)
