"""Inputs that exhaust, kill or hang the engine, or what reads its answers, in batches with innocent items.

Recovery is the time from the submission until the job has ended and each item has the right result or error.
"""

import math
import time

from tests.faults.engine import ENDLESS_ANSWER, ENDLESS_PROMPT, GIL, GIL_ANSWER, HANG, HEAVY, IMMENSE, POISON, ROWS
from tests.faults.injected.fault import LEASE_BOUND, InjectedFault
from tests.faults.scene import Scene
from tests.faults.stack import HANG_SECONDS, STALL_SECONDS

#: The most deaths while one engine batch is bisected. A hang takes longer per death, so its batch is smaller.
_DEATHS = math.ceil(math.log2(ROWS)) + 1
_FEW = 4
_FEW_DEATHS = math.ceil(math.log2(_FEW)) + 1
_HANGS = _FEW_DEATHS * (LEASE_BOUND + HANG_SECONDS)
_STALLS = _FEW_DEATHS * (LEASE_BOUND + STALL_SECONDS)


def _exhausting(scene: Scene) -> float:
    """Some items fit into memory only alone; one does not fit at all."""
    texts = scene.texts(60)
    for index in scene.random.sample(range(50), 4):
        texts[index] += HEAVY
    texts[55] += IMMENSE
    return _ended(scene, texts, {55: "out_of_memory"}, patience=20)


def _poisonous(scene: Scene) -> float:
    before = scene.stack.control.count("poison")
    recovery = _lethal(scene, POISON, 3 * ROWS)
    deaths = scene.stack.control.count("poison") - before
    if deaths > _DEATHS:
        scene.problems.append(f"one item killed the engine {deaths} times, at most {_DEATHS} are allowed")
    return recovery


def _hanging(scene: Scene) -> float:
    return _lethal(scene, HANG, _FEW)


def _holding(scene: Scene) -> float:
    return _lethal(scene, GIL, _FEW)


def _endless(scene: Scene) -> float:
    return _lethal(scene, ENDLESS_ANSWER, _FEW)


def _endless_before(scene: Scene) -> float:
    return _lethal(scene, ENDLESS_PROMPT, _FEW)


def _holding_after(scene: Scene) -> float:
    return _lethal(scene, GIL_ANSWER, _FEW)


def _lethal(scene: Scene, mark: str, count: int) -> float:
    length = scene.random.randint(20, 100)  # one length, so one bucket: all items share batches
    texts = [scene.text(length) for _ in range(count)]
    index = scene.random.randrange(len(texts))
    texts[index] += mark
    return _ended(scene, texts, {index: "worker_lost"}, patience=60)


def _ended(scene: Scene, texts: list[str], errors: dict[int, str], patience: float) -> float:
    job = scene.client.submit(texts, errors=errors, webhook_url=scene.stack.receiver.url("good", "engine"))
    submitted_at = time.monotonic()
    scene.until(lambda: job is None or job.id not in scene.tables.open_jobs(), "its job ends", patience)
    return time.monotonic() - submitted_at


FAULTS = (
    InjectedFault("out of memory", _exhausting, 10, interrupts=False),
    InjectedFault("poison", _poisonous, _DEATHS * LEASE_BOUND, interrupts=False, ends=True),
    InjectedFault("hang", _hanging, _HANGS, interrupts=False, ends=True),
    InjectedFault("gil: an engine holds the interpreter", _holding, _STALLS, interrupts=False, ends=True),
    InjectedFault("gil: what checks an answer holds it", _holding_after, _STALLS, interrupts=False, ends=True),
    InjectedFault("making a prompt never ends", _endless_before, _HANGS, interrupts=False, ends=True),
    InjectedFault("checking an answer never ends", _endless, _HANGS, interrupts=False, ends=True),
)
