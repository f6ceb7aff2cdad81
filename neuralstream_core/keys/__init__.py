"""API keys: who may call, and what for.

The public face: `KeyStore` (mint, list, revoke, find), `Gate` (decides about a presented key), `Grantor`
(what its holder may pass on), `KeyRecord`, `MintedKey`, `Actor` and `Scope`.
"""

from neuralstream_core.keys.decision import Decision, Gate, Verdict
from neuralstream_core.keys.granting import Grantor
from neuralstream_core.keys.records import Actor, KeyRecord, MintedKey
from neuralstream_core.keys.scopes import Scope
from neuralstream_core.keys.secret import digest_of, well_formed
from neuralstream_core.keys.store import KeyPage, KeyStore

__all__ = [
    "Actor",
    "Decision",
    "Gate",
    "Grantor",
    "KeyPage",
    "KeyRecord",
    "KeyStore",
    "MintedKey",
    "Scope",
    "Verdict",
    "digest_of",
    "well_formed",
]
