"""A baseline out of production: the next N rows of a version become what later rows are compared with.

Counters over fixed bins cannot tell where the bins should lie, so adoption needs values for a while. Its
steps, each of which can be repeated:

1. Someone asks for it: an item in the table (the registry's function has no way to Redis).
2. The scheduled evaluation opens a capture: a list in Redis with a marker as its first element.
3. Every recorder looks once a minute whether the list of its version exists, and while it does appends
   its rows (``RPUSHX``: nothing is stored once the list is gone). At most `MAX_ROWS` are kept.
4. When N rows are there, evaluation makes the profile, stores it, names it in the registry and deletes
   the list. Values are thus in Redis only for that long, and never longer than a week.

Items: ``PK = DRIFT#{namespace}#{model}``, ``SK = ADOPT#{version}``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from neuralstream_core.errors import ConditionFailed, Conflict, Invalid, NotFound, Unavailable
from neuralstream_core.monitoring.alarms import alarm_key
from neuralstream_core.monitoring.binning import build_profile
from neuralstream_core.monitoring.layout import capture_key
from neuralstream_core.time import Clock, iso, system_clock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from neuralstream_core.redis.port import RedisPort
    from neuralstream_core.registry.records import VersionRecord
    from neuralstream_core.registry.registry import Registry
    from neuralstream_core.table import Item, Table

__all__ = ["MAX_ROWS", "MIN_ROWS", "Adoptions"]

MIN_ROWS: Final = 200
MAX_ROWS: Final = 10_000
_WEEK: Final = 7 * 86400
_PREFIX: Final = "ADOPT#"


class Adoptions:
    """Requests to adopt a baseline, and what becomes of them.

    Raises (every method):
        Unavailable: the table, Redis or S3 cannot be reached.
    """

    def __init__(self, table: Table, namespace: str, clock: Clock = system_clock) -> None:
        self._table = table
        self._namespace = namespace
        self._clock = clock

    def request(self, version: VersionRecord, rows: int, actor: str) -> None:
        """Ask that the next ``rows`` production rows become the baseline of ``version``.

        Asking again while it is under way changes nothing.

        Raises:
            Invalid: too few or too many rows.
            Conflict: the version has a baseline.
        """
        if not MIN_ROWS <= rows <= MAX_ROWS:
            raise Invalid.at("production_rows", f"must be {MIN_ROWS} to {MAX_ROWS}")
        if version.profile is not None:
            raise Conflict(
                f"{version.model} {version.version} has a baseline", code="baseline_exists"
            )
        item: Item = {
            "PK": alarm_key(self._namespace, version.model),
            "SK": _PREFIX + version.version,
            "rows": rows,
            "actor": actor,
            "requested_at": iso(self._clock()),
        }
        try:
            self._table.put(item, condition="attribute_not_exists(PK)")
        except ConditionFailed:
            return

    def pending(self, model: str) -> dict[str, Item]:
        """Adoptions under way, by version."""
        items = self._table.query_all(alarm_key(self._namespace, model), prefix=_PREFIX)
        return {item["SK"].removeprefix(_PREFIX): item for item in items}

    def run(
        self,
        models: Iterable[str],
        port: RedisPort,
        registry: Registry,
        store: Callable[[bytes], str],
    ) -> dict[str, int]:
        """Open captures and finish those that are full.

        Args:
            store: keeps a profile's bytes and returns their digest.
        """
        opened = adopted = 0
        for model in models:
            for version, item in self.pending(model).items():
                try:
                    record = registry.version(model, version)
                except NotFound:
                    self._close(model, version, port)
                    continue
                if record.profile is not None:
                    self._close(model, version, port)
                    continue
                captured = self._captured(model, version, item["rows"], port)
                if captured is None:
                    opened += 1
                elif len(captured) >= item["rows"]:
                    self._adopt(record, captured, item["actor"], registry, store)
                    self._close(model, version, port)
                    adopted += 1
        return {"captures_opened": opened, "baselines_adopted": adopted}

    def _captured(
        self, model: str, version: str, rows: int, port: RedisPort
    ) -> Sequence[bytes] | None:
        """The rows so far; ``None`` when the capture has only now been opened."""
        key = capture_key(self._namespace, model, version)
        (found,) = port.flight([(b"LRANGE", key, 0, rows)])
        if not isinstance(found, list):
            raise Unavailable(f"the cache refused to read a capture: {found!r}", dependency="redis")
        if not found:
            port.flight([(b"RPUSH", key, b"open"), (b"EXPIRE", key, _WEEK)])
            return None
        return [row for row in found[1:] if isinstance(row, bytes)]

    @staticmethod
    def _adopt(
        version: VersionRecord,
        captured: Sequence[bytes],
        actor: str,
        registry: Registry,
        store: Callable[[bytes], str],
    ) -> None:
        from neuralstream_core.registry.issuer import Issuer

        rows: list[list[Any]] = [json.loads(row) for row in captured]
        columns = {
            ref.label: [row[place] for row in rows] for place, ref in enumerate(version.features)
        }
        scores = [row[-1] for row in rows]
        profile = build_profile(
            version.features,
            columns,
            prediction=[row[-2] for row in rows],
            score=scores if any(score is not None for score in scores) else None,
            classes=version.signature.classes if version.signature is not None else None,
        )
        digest = store(profile.to_json())
        by = Issuer(actor, f"adopt-{version.version}-{digest}")
        registry.set_profile(version.model, version.version, digest, by)

    def _close(self, model: str, version: str, port: RedisPort) -> None:
        port.flight([(b"DEL", capture_key(self._namespace, model, version))])
        self._table.delete(alarm_key(self._namespace, model), _PREFIX + version)
