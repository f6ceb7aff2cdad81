"""How a key looks: ``nsk_<key id>_<secret>``.

The key id (8 characters) names the key to people and logs; the secret (32 random bytes) proves it.
Only the SHA-256 of the whole key is ever stored: with 256 random bits there is nothing to guess, so
a slow password hash would add latency and no safety.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from typing import Final

__all__ = ["KEY_ID", "MAX_KEY", "digest_of", "generate", "well_formed"]

KEY_ID: Final = "[a-z2-7]{8}"
"""Pattern of a key's id."""

MAX_KEY: Final = 128
"""Characters; what is longer is no key and is not even hashed."""

_SECRET_BYTES: Final = 32
_ID_BYTES: Final = 5
_FORM: Final = re.compile(rf"nsk_{KEY_ID}_[a-z2-7]{{52}}", re.ASCII)


def generate() -> tuple[str, str]:
    """A new key from the system's randomness: ``(key id, key)``."""
    key_id = _base32(secrets.token_bytes(_ID_BYTES))
    return key_id, f"nsk_{key_id}_{_base32(secrets.token_bytes(_SECRET_BYTES))}"


def well_formed(key: str) -> bool:
    """Whether ``key`` could be one of ours; says nothing about whether it is."""
    return len(key) <= MAX_KEY and _FORM.fullmatch(key) is not None


def digest_of(key: str) -> str:
    """SHA-256 of the whole key, in lower-case hexadecimal."""
    return hashlib.sha256(key.encode()).hexdigest()


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw).decode().rstrip("=").lower()
