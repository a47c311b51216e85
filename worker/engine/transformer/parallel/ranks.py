"""The processes that share the layers of a model too large for one device (tensor parallelism).

This process is the first; the others are its followers. All run the same steps on the same requests, each with its part
of every layer, and add up their results in torch's collectives. The first sends each follower commands over a pipe.
"""

import os
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from lengthwise import settings
from lengthwise.child import Child, Program
from lengthwise.errors import ConfigurationError
from lengthwise.models.catalog import ModelSpec
from worker.engine.protocol import Request

#: How long a follower may take to say how its part of a batch ended, once ours has.
_PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Rank:
    """One of the processes; its device is ``devices[rank]``."""

    rank: int
    devices: tuple[str, ...]
    #: The file by which the processes find each other.
    meeting: Path

    def join(self) -> DeviceMesh:
        """Joins the process group; returns once all processes have."""
        where = torch.device(self.devices[self.rank])
        if where.type == "cuda":
            torch.cuda.set_device(where)
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # by default it looks up the host's name
        distributed.init_process_group(
            "nccl" if where.type == "cuda" else "gloo",
            init_method=self.meeting.as_uri(),
            rank=self.rank,
            world_size=len(self.devices),
            timeout=timedelta(seconds=settings.get().hang_seconds),
        )
        return init_device_mesh(where.type, (len(self.devices),))


@dataclass(frozen=True, slots=True)
class LoadCommand:
    """Loads a model under a number of its own; answered with its ``batch_tokens``, or with the name of an error."""

    model: int
    spec: ModelSpec


@dataclass(frozen=True, slots=True)
class DropCommand:
    model: int


@dataclass(frozen=True, slots=True)
class StartCommand:
    """Starts a batch of a model under a number of its own."""

    model: int
    batch: int


@dataclass(frozen=True, slots=True)
class AddCommand:
    batch: int
    requests: Sequence[Request]


@dataclass(frozen=True, slots=True)
class StepCommand:
    batch: int


@dataclass(frozen=True, slots=True)
class CloseCommand:
    """Closes a batch; answered with the name of the error that had closed it before, or with None."""

    batch: int


Command = LoadCommand | DropCommand | StartCommand | AddCommand | StepCommand | CloseCommand


class RankGroup:
    """This process and its followers, until ``close``."""

    def __init__(self, devices: Sequence[str]) -> None:
        self.devices = tuple(devices)
        self._folder = tempfile.TemporaryDirectory(prefix="lengthwise-ranks-")
        meeting = Path(self._folder.name) / "meeting"
        self._children: list[Child] = []
        self._pipes: list[Connection[Any, Any]] = []
        self._numbers = count()
        #: Batches that were dropped without being closed. Only numbers: the garbage collector adds them, at any time.
        self.abandoned: deque[int] = deque()
        self._is_closed = False
        places = [Rank(rank, self.devices, meeting) for rank in range(len(devices))]
        try:
            for place in places[1:]:
                self._start(place)
            self.mesh = places[0].join()
        except BaseException:
            self.close()
            raise

    def _start(self, place: Rank) -> None:
        ours, theirs = Pipe()
        with theirs:
            command = [sys.executable, "-P", "-m", "worker.engine.transformer.parallel.follower", str(theirs.fileno())]
            child = Child(Program(f"rank-{place.rank}", command, pass_fds=[theirs.fileno()]))
            child.start()
        self._children.append(child)
        self._pipes.append(ours)
        ours.send(place)

    @property
    def is_open(self) -> bool:
        return not self._is_closed and all(child.is_running for child in self._children)

    def new_number(self) -> int:
        """For another model or batch."""
        return next(self._numbers)

    def tell(self, command: Command) -> None:
        """Sends the command to all followers. Raises ``OSError`` if one of them has ended."""
        while self.abandoned:
            self._send(CloseCommand(self.abandoned.popleft()))
            self.answers()
        self._send(command)

    def _send(self, command: Command) -> None:
        for pipe in self._pipes:
            pipe.send(command)

    def answers(self, patience: float | None = _PATIENCE_SECONDS) -> list[Any] | None:
        """Receives an answer from each follower; returns None if one is late or has ended."""
        found = []
        try:
            for pipe in self._pipes:
                if not pipe.poll(patience):
                    return None
                found.append(pipe.recv())
        except (EOFError, OSError):
            return None
        return found

    def close(self) -> None:
        """Ends the followers, and leaves the process group."""
        if self._is_closed:
            return
        self._is_closed = True
        for pipe in self._pipes:
            pipe.close()
        for child in self._children:
            child.kill()
        if distributed.is_initialized():
            distributed.destroy_process_group()
        self._folder.cleanup()


_ranks: RankGroup | None = None


def rank_group(devices: Sequence[str]) -> RankGroup:
    """The processes for these devices: started once, and started again after they were closed.

    Raises ``ConfigurationError`` if this process has a group for other devices: torch has one group a process.
    """
    global _ranks
    if _ranks is not None and _ranks.is_open and _ranks.devices != tuple(devices):
        raise ConfigurationError(f"this process shares its models over {'+'.join(_ranks.devices)} already")
    if _ranks is None or not _ranks.is_open:
        if _ranks is not None:
            _ranks.close()
        _ranks = RankGroup(devices)
    return _ranks
