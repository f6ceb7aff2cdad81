"""API keys: who may call, and what for.

The public face: `KeyStore` (mint, list, revoke, find), `Gate` (decides about a presented key),
`KeyRecord`, `MintedKey` and `Scope`.
"""

from neuralstream_core.keys.decision import Decision, Gate, Verdict
from neuralstream_core.keys.records import KeyRecord, MintedKey
from neuralstream_core.keys.scopes import Scope
from neuralstream_core.keys.secret import digest_of, well_formed
from neuralstream_core.keys.store import KeyStore

__all__ = [
    "Decision",
    "Gate",
    "KeyRecord",
    "KeyStore",
    "MintedKey",
    "Scope",
    "Verdict",
    "digest_of",
    "well_formed",
]
