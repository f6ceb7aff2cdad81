"""The AWS emulation as a process: it serves, and it dies with its parent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from neuralstream_local.children import ROOT
from tests.support.poll import eventually


def test_a_fresh_table_and_bucket_keep_what_is_written(table, s3, bucket):
    table.put({"PK": "a", "SK": "b", "n": 1.5})
    s3.put_object(Bucket=bucket, Key="x/y", Body=b"data")

    assert table.get("a", "b") == {"PK": "a", "SK": "b", "n": 1.5}
    assert s3.get_object(Bucket=bucket, Key="x/y")["Body"].read() == b"data"


def test_the_emulation_dies_with_a_killed_parent():
    script = (
        "import sys, time; from neuralstream_local.children import Child;"
        "c = Child('neuralstream_local.aws_server'); c.ready();"
        "print(c.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ}
    ) as parent:
        child_pid = int(parent.stdout.readline())
        assert Path(f"/proc/{child_pid}").exists()
        parent.kill()

    assert eventually(lambda: _gone(child_pid))


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"
