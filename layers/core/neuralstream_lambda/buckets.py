"""Which buckets jobs may use, from settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuralstream_core.settings import BucketSettings

if TYPE_CHECKING:
    from neuralstream_core.serving.batch.locations import Buckets

__all__ = ["JobBucketSettings"]


class JobBucketSettings(BucketSettings):
    """The buckets that jobs may read and write."""

    job_buckets: str = ""
    """Those besides the stack's own, separated by commas."""

    @property
    def buckets(self) -> Buckets:
        """All of them."""
        from neuralstream_core.serving.batch.locations import Buckets

        return Buckets.of(self.data_bucket, self.job_buckets)
