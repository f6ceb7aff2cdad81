"""How a job over the rows of an input ended: its manifest, what its record says, and why it failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from pydantic import BaseModel

from neuralstream_core.jobs.records import Failure
from neuralstream_core.objects import Location

if TYPE_CHECKING:
    from neuralstream_core.jobs.files import File, JobFiles

__all__ = ["RowsJob", "RowsManifest", "concluded", "verdict"]

_LISTED: Final = 100
"""Error files named in the job record; the manifest has all."""

S = TypeVar("S", bound=BaseModel)


class RowsJob(Protocol):
    """A job that reads the rows of a file."""

    @property
    def input(self) -> str: ...
    @property
    def max_failed_fraction(self) -> float: ...
    @property
    def allow_empty(self) -> bool: ...


class RowsManifest(Protocol):
    """Its counts and files."""

    @property
    def rows(self) -> int: ...
    @property
    def reasons(self) -> Mapping[str, int]: ...
    @property
    def errors(self) -> Sequence[File]: ...
    def model_dump(self, *, include: set[str]) -> dict[str, Any]: ...


def concluded(
    job: RowsJob,
    files: JobFiles[Any, Any, Any],
    output: str,
    manifest: RowsManifest,
    result: type[S],
    *,
    failed: str = "manifest.json",
) -> tuple[S, Failure | None]:
    """Write the manifest; the ``result`` of the job's record, and why the job failed, if it did.

    Args:
        output: folder of the manifest.
        result: has ``manifest``, ``errors``, and further fields that the manifest has too.
        failed: name of the manifest of a job that failed.

    Raises:
        RuntimeError: the role may not write the manifest.
    """
    failure = verdict(
        job.input,
        manifest.rows,
        manifest.reasons,
        job.max_failed_fraction,
        allow_empty=job.allow_empty,
    )
    at = Location.parse(output) / ("manifest.json" if failure is None else failed)
    files.write_manifest(at, manifest)  # type: ignore[arg-type]  # a protocol cannot name a base class
    shared = set(result.model_fields) - {"manifest", "errors"}
    counts = manifest.model_dump(include=shared)
    errors = [file.uri for file in manifest.errors[:_LISTED]]
    return result(manifest=str(at), errors=errors, **counts), failure


def verdict(
    source: str,
    rows: int,
    reasons: Mapping[str, int],
    max_failed_fraction: float,
    *,
    allow_empty: bool,
) -> Failure | None:
    """Why a job failed, if it did.

    Args:
        source: address of the input.
        rows: of the input, failed ones included.
        reasons: failed rows by error code.
        max_failed_fraction: share of failed rows that is allowed, 0 to 1.
        allow_empty: an input without rows is allowed.
    """
    if not rows and not allow_empty:
        # usually the export that made the input has failed
        return Failure(
            code="empty_input",
            detail=f"{source} has no rows; with allow_empty such a job succeeds",
        )
    failed = sum(reasons.values())
    if failed <= max_failed_fraction * rows:
        return None
    worst, times = Counter(reasons).most_common(1)[0]
    return Failure(
        code="too_many_failed_rows",
        detail=(
            f"{failed} of {rows} rows failed, more than the allowed share of"
            f" {max_failed_fraction:g}; most often {worst} ({times} times)"
        ),
    )
