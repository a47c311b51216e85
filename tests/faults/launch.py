"""Starts a process of lengthwise, as ``python -m lengthwise`` does, with steps at which the harness can kill it.

lengthwise has no hooks for this, so this module wraps its functions by name before it runs. No other module of the
harness knows lengthwise's internals.
"""

import os
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from typing import Any

from celery.signals import task_postrun, task_prerun
from celery.worker.request import Request

from lengthwise import queue
from lengthwise.broker import Channel
from tests.faults import control

_control = control.of_environment()


def _wrap(
    owner: Any,
    name: str,
    *,
    before: str | None = None,
    after: str | None = None,
    then: Callable[..., None] | None = None,
    failing: Callable[[], None] | None = None,
) -> None:
    """Wraps ``owner.name``: it reaches step ``before`` before it runs and step ``after`` after it.

    ``then`` is called with its answer and its arguments, ``failing`` if it raises.
    """
    original = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        if before:
            _control.reach(before)
        try:
            answer = original(*arguments, **named)
        except Exception:
            if failing is not None:
                failing()
            raise
        if then is not None:
            then(answer, *arguments)
        if after:
            _control.reach(after)
        return answer

    setattr(owner, name, wrapped)


def _note_claim(claim: Any, *_: Any) -> None:
    if claim is not None:
        _control.claimed(str(claim.token))
        _control.reach("claimed")


def _note_refusal(written: Any, connection: Any, token: Any, settlements: Any) -> None:
    """Counts settlements that were refused, in part or in whole, because a lease was lost."""
    if len(written.ids) < len(settlements):
        _note_failure()


def _note_failure() -> None:
    """Counts a settlement that was not written. A zombie may also find its database session closed."""
    _control.tally("refused")


def _put_often(channel: Any, queue_name: str, message: Any, **options: Any) -> None:
    for _ in range(_control.flag("copies", default=1)):
        _put(channel, queue_name, message, **options)


_put: Any = Channel._put


class _ShiftedDatetime(datetime):
    """The clock of a host that is off by as many seconds as the harness says."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + timedelta(seconds=_control.flag("clock", default=0))


def _shift_clocks() -> None:
    """Has all code of this process read a shifted clock, libraries that ask the module ``time`` among it."""
    real_time = time.time
    time.time = lambda: real_time() + _control.flag("clock", default=0)
    for name, module in list(sys.modules.items()):
        if name.startswith(("lengthwise.", "worker.")) and getattr(module, "datetime", None) is datetime:
            module.datetime = _ShiftedDatetime  # type: ignore[attr-defined]


def install() -> None:
    """Wraps the functions that a process with this name runs."""
    kind = os.environ[control.NAME_VARIABLE].partition("-")[0]
    task_prerun.connect(lambda **_: _control.began(), weak=False)
    setattr(Channel, "_put", _put_often)  # noqa: B010 - mypy forbids to assign a method
    _wrap(queue, "ring", before="ringing")
    _wrap(Request, "acknowledge", after="acknowledged")
    task_postrun.connect(lambda **_: _control.reach("run"), weak=False)
    if kind == "generate":
        from tests.faults import engine
        from worker.generation import settlement
        from worker.generation.claiming import Claimer
        from worker.generation.work import Work

        _wrap(Work, "_prompt", then=lambda _, __, ___, items: engine.prompt([item.job_item.text for item in items]))
        _wrap(Work, "_conclude", then=lambda _, __, item: engine.conclude(item.job_item.text))
        _wrap(Claimer, "claim", then=_note_claim)
        _wrap(Claimer, "claim_more", after="claimed")
        _wrap(settlement, "settle", before="generated", after="settled", then=_note_refusal, failing=_note_failure)
        _wrap(settlement, "write", after="committed")
    elif kind == "deliver":
        from worker.delivery import deliver

        _shift_clocks()
        _wrap(deliver, "_post", before="claimed", after="posted")


# Child processes that lengthwise spawns import this file as __mp_main__.
if __name__ in ("__main__", "__mp_main__"):
    install()

if __name__ == "__main__":
    from lengthwise.cli.main import main

    main()
