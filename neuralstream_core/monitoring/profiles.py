"""Profiles by digest, read once a process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from neuralstream_core.monitoring.profile import Profile, bare_profile

if TYPE_CHECKING:
    from neuralstream_core.registry.records import VersionRecord

__all__ = ["Profiles"]

_MAX_KEPT: Final = 256


class Profiles:
    """Stored profiles; immutable, so what was read once is kept.

    Args:
        read: the bytes of a digest (`neuralstream_core.registry.ArtifactStore.get_profile`); its
            errors pass through.
    """

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._read = read
        self._kept: dict[str, Profile] = {}
        self._lock = threading.Lock()

    def __call__(self, digest: str) -> Profile:
        """The profile ``digest``."""
        profile = self._kept.get(digest)
        if profile is None:
            profile = Profile.from_json(self._read(digest))
            with self._lock:
                if len(self._kept) >= _MAX_KEPT:
                    self._kept.clear()
                self._kept[digest] = profile
        return profile

    def of(self, version: VersionRecord) -> Sequence[Profile]:
        """Every profile under which a version's rows may have been counted, the present one first.

        A version without a baseline, or before it adopted one, is counted under its bare profile.
        """
        classes = version.signature.classes if version.signature is not None else None
        bare = bare_profile(version.features, classes)
        return [bare] if version.profile is None else [self(version.profile), bare]
