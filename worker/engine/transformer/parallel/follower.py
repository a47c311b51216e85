"""A process that holds its part of each model, and repeats with it what the first process does with its own part.

It is started as ``python -m worker.engine.transformer.parallel.follower FD``, where ``FD`` is the file descriptor of a
pipe. It receives commands over the pipe, and ends when the pipe is closed.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

from torch.distributed.device_mesh import DeviceMesh

from lengthwise import logs, settings
from lengthwise.models.catalog import ModelSpec
from worker.engine.protocol import EngineBatch
from worker.engine.transformer.engine import TorchEngine
from worker.engine.transformer.parallel.ranks import (
    AddCommand,
    CloseCommand,
    Command,
    DropCommand,
    LoadCommand,
    Rank,
    StartCommand,
    StepCommand,
)

_POLL_SECONDS = 0.5


@dataclass(slots=True)
class FollowedBatch:
    """This process's part of a batch."""

    batch: EngineBatch
    #: The class name of the error that closed it; None if there was none.
    error: str | None = None


class Follower:
    """Carries out the commands of the first process on this process's models and batches."""

    def __init__(self, pipe: "Connection[Any, Any]", rank: Rank, mesh: DeviceMesh) -> None:
        self._pipe, self._rank, self._mesh = pipe, rank, mesh
        self._engines: dict[int, TorchEngine] = {}
        self._batches: dict[int, FollowedBatch] = {}

    def follow(self, command: Command) -> None:
        match command:
            case LoadCommand(model, spec):
                self._pipe.send(self._load(model, spec))
            case DropCommand(model):
                self._engines.pop(model, None)
            case StartCommand(model, number):
                self._batches[number] = FollowedBatch(self._engines[model].start())
            case AddCommand(number, requests):
                self._run(number, lambda batch: batch.add(requests))
            case StepCommand(number):
                self._run(number, lambda batch: batch.step())
            case CloseCommand(number):
                self._pipe.send(self._batches.pop(number).error)

    def _load(self, model: int, spec: ModelSpec) -> int | str | None:
        own = spec.model_copy(update={"device": self._rank.devices[self._rank.rank]})
        try:
            self._engines[model] = TorchEngine.load(own, self._mesh)
        except Exception as error:  # the first process reports it
            return type(error).__name__
        return self._engines[model].capabilities().batch_tokens

    def _run(self, number: int, act: Callable[[EngineBatch], object]) -> None:
        followed = self._batches[number]
        try:
            act(followed.batch)
        except Exception as error:
            followed.error = type(error).__name__


def _end_with(parent: int) -> None:
    """Ends this process when its parent ends, even if it waits in a collective that the others will never join.

    Linux's own signal (PR_SET_PDEATHSIG) comes when the parent's *thread* ends, which may be too early.
    """
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os._exit(1)


def main() -> None:
    Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    # A terminal sends these signals to all processes, but the first process decides when to stop.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    current = settings.get()
    logs.set_up("generate", f"follower-{os.getpid()}", form=current.log_format, level=current.log_level)
    current.limit_threads()
    with Connection(int(sys.argv[1])) as pipe:
        rank: Rank = pipe.recv()
        follower = Follower(pipe, rank, rank.join())
        try:
            while True:
                follower.follow(pipe.recv())
        except EOFError:
            return


if __name__ == "__main__":
    main()
