"""Answers an autoscaler's question how many generation workers there should be.

It is served on the port of the metrics, which is not public: it needs no key. Knows nothing of HTTP but the query.
"""

import logging
import time
from collections.abc import Sequence
from threading import Lock
from typing import Any
from urllib.parse import parse_qs

from pydantic_core import to_json

from lengthwise.database import Database, translated
from lengthwise.errors import Unavailable
from lengthwise.ledger import scaling
from lengthwise.scaling.decision import DueWork, Load, ScalingDecision, ScalingMemory, ScalingPolicy, decide
from lengthwise.settings import Settings

log = logging.getLogger(__name__)

#: Groups of workers, by models and device, whose decisions are remembered. Nobody has so many.
_MOST_GROUPS = 64
#: A question is as long as the names of some models.
_MOST_CHARACTERS = 4096

_Group = tuple[tuple[str, ...], str | None]


class ScalingAnswer:
    """``GET /scaling?model=NAME&device=cuda``: ``{"desired": 3, …}``. Both are optional, and ``model`` may be repeated.

    ``model`` counts the work of these models only, and ``device`` the workers on such devices: a group of workers that
    serves other models than the rest is asked for by them. Threads may call it; they are answered one by one.
    """

    def __init__(self, database: Database, current: Settings) -> None:
        self._database = database
        self._policy = ScalingPolicy(
            min_workers=min(current.scaling_min_workers, current.scaling_max_workers),
            max_workers=current.scaling_max_workers,
            tokens_per_second=current.scaling_tokens_per_second,
            drain_seconds=current.scaling_drain_seconds,
            start_seconds=current.scaling_start_seconds,
            settle_seconds=current.scaling_settle_seconds,
        )
        self._memories: dict[_Group, ScalingMemory] = {}
        self._answering = Lock()

    def __call__(self, query: str) -> tuple[int, bytes]:
        """The status and the JSON of the answer to this query string.

        400 if the question is not understood, and 503 if the database is away: then the autoscaler changes nothing.
        """
        group = _group(query)
        if group is None:
            return 400, to_json({"error": "the parameters are model, which may be repeated, and device"})
        try:
            load, decision = self._decide(group)
        except Unavailable as error:
            log.warning("nobody was told how many workers there should be: %s", error)
            return 503, to_json({"error": "the database does not answer"})
        return 200, to_json(_shown(load, decision))

    def _decide(self, group: _Group) -> tuple[Load, ScalingDecision]:
        models, device = group
        with self._answering:
            with translated(), self._database.connect() as connection:
                work = scaling.read_work(connection, models, drain_seconds=self._policy.drain_seconds)
                workers = scaling.find_workers(connection, device)
            load = _load(work, workers)
            memory = self._memories.pop(group, ScalingMemory())
            decision, self._memories[group] = decide(load, self._policy, memory, time.monotonic())
            while len(self._memories) > _MOST_GROUPS:
                del self._memories[next(iter(self._memories))]  # the one whose last question is longest ago
        return load, decision


def _group(query: str) -> _Group | None:
    """The models and the device that are asked for; None if there is anything else."""
    if len(query) > _MOST_CHARACTERS:
        return None
    try:
        asked = parse_qs(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=100, errors="strict")
    except ValueError:
        return None
    models, devices = asked.pop("model", []), asked.pop("device", [])
    if asked or len(devices) > 1 or any("\0" in name for name in [*models, *devices]):
        return None
    return tuple(sorted(set(models))), devices[0] if devices else None


def _load(work: scaling.OpenWork, workers: scaling.LiveWorkers) -> Load:
    # Each busy worker has a claim, and may have two. A claim may also be that of a worker that died.
    busy = min(work.n_claims, workers.count)
    due = tuple(DueWork(each.seconds, each.tokens, each.is_deadline) for each in work.due)
    # Workers report items, because what they read and what they write takes unlike times. The work is known in tokens.
    rate = (workers.items_per_second or 0.0) * work.tokens_per_item
    return Load(work.waiting_tokens, work.running_tokens, due, workers.count, busy, rate or None)


def _shown(load: Load, decision: ScalingDecision) -> dict[str, Any]:
    return {
        "desired": decision.desired,
        "needed": decision.needed,
        "busy": load.busy_workers,
        "live": load.live_workers,
        "waiting_tokens": load.waiting_tokens,
        "running_tokens": load.running_tokens,
        "tokens_per_second": decision.tokens_per_second,
        "nearest_deadline_seconds": _nearest(load.due),
    }


def _nearest(due: Sequence[DueWork]) -> float | None:
    return min((each.seconds for each in due if each.is_deadline), default=None)
