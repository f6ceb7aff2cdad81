"""Jobs that work through the rows of a file: what their records and documents have in common, and how they
end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import Field

from neuralstream_core.jobs.files import File, JobFiles, Numbered, json_lines
from neuralstream_core.jobs.records import Failure, JobRecord
from neuralstream_core.objects import Location
from neuralstream_core.time import Micros
from neuralstream_core.types import Record

__all__ = [
    "RowsChunk",
    "RowsJob",
    "RowsManifest",
    "RowsPins",
    "RowsResult",
    "concluded",
    "shared_counts",
    "written_errors",
]

_LISTED: Final = 100
"""Error files named in the job record; the manifest has all."""


class RowsJob(JobRecord):
    """A job that reads the rows of a file."""

    input: str = Field(description="`s3://` address of the input")
    output: str = Field(description="folder of this job's own files, below the output asked for")
    max_failed_fraction: float = Field(
        description="it fails when more than this share of its rows failed, 0 to 1"
    )
    allow_empty: bool = Field(
        default=False, description="whether an input without rows is a job well done"
    )


class RowsResult(Record):
    """Counts and files of a finished job."""

    rows: int = Field(description="rows of the input, failed ones included")
    failed: int = Field(description="rows that are wrong or could not be worked on")
    manifest: str | None = Field(
        default=None, description="`s3://` address of these counts and the list of all files"
    )
    errors: list[str] = Field(
        default_factory=list, description="files of failed rows; the first 100"
    )
    reasons: dict[str, int] = Field(default_factory=dict, description="failed rows by error code")


class RowsPins(Record):
    """State at the start of the job, which every chunk and every retry works with."""

    as_of: Micros
    """When the job began: what is expired, or has no time of its own, is told by it."""
    size: int
    """Of the input, in bytes."""
    etag: str
    """Of the input."""


class RowsChunk(Numbered):
    """What a chunk did; written after its files."""

    rows: int
    failed: int
    reasons: dict[str, int] = Field(default_factory=dict)
    errors: File | None = None


class RowsManifest(Record):
    """Counts of a finished job and all of its error files."""

    job_id: str
    input: str
    input_etag: str
    rows: int
    failed: int
    reasons: dict[str, int]
    """Failed rows by error code."""
    errors: list[File]


S = TypeVar("S", bound=RowsResult)


def written_errors(
    files: JobFiles[Any, Any, Any], output: str, chunk: int, failed: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The fields ``failed``, ``reasons`` and ``errors`` of a chunk's result, whose error file is written.

    Args:
        output: folder of the job's files.
        failed: a line of the error file for each failed row; it has a ``code``.
    """
    errors = None
    if failed:
        at = Location.parse(output) / f"errors/errors-{chunk:05d}.jsonl"
        errors = files.write_output(at, json_lines(failed), "application/jsonl", len(failed))
    reasons = Counter(row["code"] for row in failed)
    return {"failed": len(failed), "reasons": dict(sorted(reasons.items())), "errors": errors}


def shared_counts(results: Sequence[RowsChunk]) -> dict[str, Any]:
    """The fields ``rows``, ``failed``, ``reasons`` and ``errors`` of a manifest, from those of its chunks."""
    reasons = Counter[str]()
    for result in results:
        reasons.update(result.reasons)
    return {
        "rows": sum(result.rows for result in results),
        "failed": sum(result.failed for result in results),
        "reasons": dict(sorted(reasons.items())),
        "errors": [result.errors for result in results if result.errors is not None],
    }


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
    failure = _failure(
        job.input,
        manifest.rows,
        manifest.reasons,
        job.max_failed_fraction,
        allow_empty=job.allow_empty,
    )
    at = Location.parse(output) / ("manifest.json" if failure is None else failed)
    files.write_manifest(at, manifest)
    shared = set(result.model_fields) - {"manifest", "errors"}
    counts = manifest.model_dump(include=shared)
    errors = [file.uri for file in manifest.errors[:_LISTED]]
    return result(manifest=str(at), errors=errors, **counts), failure


def _failure(
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
