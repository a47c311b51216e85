"""A process that holds a part of models and does as the first of its kind does.

Started as ``python -m worker.engine.transformer.parallel.follower``.

Its argument is the pipe over which it is told what to run. It ends when that does.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

from torch.distributed.device_mesh import DeviceMesh

from lengthwise import settings
from worker.engine.protocol import Completion, Request
from worker.engine.transformer.engine import TorchEngine
from worker.engine.transformer.parallel.ranks import (
    DropModel,
    JoinBatch,
    LoadModel,
    RankAssignment,
    RunBatch,
    RunOpenBatch,
)

_POLL_SECONDS = 0.5


class Follower:
    def __init__(self, pipe: "Connection[Any, Any]", place: RankAssignment, mesh: DeviceMesh) -> None:
        self._pipe, self._place, self._mesh = pipe, place, mesh
        self._engines: dict[int, TorchEngine] = {}

    def follow(self, message: LoadModel | DropModel | RunBatch | RunOpenBatch) -> None:
        match message:
            case LoadModel(number, spec):
                own = spec.model_copy(update={"device": self._place.devices[self._place.rank]})
                try:
                    self._engines[number] = TorchEngine.load(own, self._mesh)
                except Exception as error:  # the first process says what it was
                    self._pipe.send(type(error).__name__)
                else:
                    self._pipe.send(self._engines[number].capabilities().batch_tokens)
            case DropModel(number):
                self._engines.pop(number, None)
            case RunBatch(number, requests):
                self._exhaust(self._engines[number].generate(requests))
            case RunOpenBatch(number):
                self._exhaust(self._engines[number].generate_from(self._joining))

    def _exhaust(self, completions: Iterator[Completion]) -> None:
        try:
            for _ in completions:
                pass
        except Exception as error:
            self._pipe.send(type(error).__name__)
        else:
            self._pipe.send(None)

    def _joining(self) -> list[Request]:
        """What joins an open batch; whatever else is told meanwhile runs between two of its steps."""
        while not isinstance(message := self._pipe.recv(), JoinBatch):
            self.follow(message)
        return list(message.requests)


def _end_with(parent: int) -> None:
    """Even out of a collective, where nobody would come any more. The kernel's own signal is for a thread's end."""
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os._exit(1)


def main() -> None:
    Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    # Who is to stop, and when, the first process knows.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    settings.get().limit_threads()
    with Connection(int(sys.argv[1])) as pipe:
        place: RankAssignment = pipe.recv()
        follower = Follower(pipe, place, place.join())
        try:
            while True:
                follower.follow(pipe.recv())
        except EOFError:
            return


if __name__ == "__main__":
    main()
