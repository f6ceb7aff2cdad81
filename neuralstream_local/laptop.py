"""What the names in template.yaml mean on a laptop."""

from __future__ import annotations

from typing import Any, Final

from neuralstream_local.aws import ACCOUNT, REGION
from neuralstream_local.children import ROOT
from neuralstream_local.template import Template

__all__ = [
    "BUCKET",
    "HISTORY_DATABASE",
    "HISTORY_TABLE",
    "KEYS_TABLE",
    "STACK",
    "TABLE",
    "laptop_template",
]

STACK: Final = "neuralstream-local"
TABLE: Final = "neuralstream-local"
KEYS_TABLE: Final = "neuralstream-local-keys"
HISTORY_TABLE: Final = "neuralstream-local-history"
BUCKET: Final = "neuralstream-local-data"
HISTORY_DATABASE: Final = "neuralstream_local_history"

_ENVIRON: Final = {
    "NEURALSTREAM_REDIS_TLS": "false",
    "NEURALSTREAM_REDIS_CLUSTER": "false",
    "NEURALSTREAM_REDIS_IAM_USER": "",
    "NEURALSTREAM_REDIS_CACHE_NAME": "",
    "NEURALSTREAM_HISTORY_SEAL_MS": "15000",
    "NEURALSTREAM_ATHENA_FROM_BYTES": "0",
}
"""The template describes ElastiCache Serverless; the embedded Redis is one node without TLS. One machine has
one clock, so a minute of the history's log is over soon after its end. There is no Athena."""


def laptop_template(redis_port: int) -> Template:
    """template.yaml with the embedded Redis on ``redis_port`` and the emulation's names."""
    values: dict[str, Any] = {
        "AWS::Region": REGION,
        "AWS::AccountId": ACCOUNT,
        "AWS::Partition": "aws",
        "AWS::StackName": STACK,
        "AWS::URLSuffix": "amazonaws.com",
        "Table": TABLE,
        "KeysTable": KEYS_TABLE,
        "HistoryLogTable": HISTORY_TABLE,
        "DataBucket": BUCKET,
        "HistoryDatabase": HISTORY_DATABASE,
        "Cache.Endpoint.Address": "127.0.0.1",
        "Cache.Endpoint.Port": str(redis_port),
    }
    return Template(ROOT / "template.yaml", values, environ=_ENVIRON)
