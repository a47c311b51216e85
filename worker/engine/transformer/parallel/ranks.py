"""The processes of tensor parallelism: each holds a part of every layer of a model that is too large for one device.

This process is the first one; the others are its followers. All run the same steps on the same requests, and torch's
collectives add up their results. The first process sends commands to each follower over a pipe.
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
from lengthwise.child import Child, Program, without_secrets
from lengthwise.errors import ConfigurationError
from lengthwise.models.catalog import ModelSpec
from worker.engine.protocol import Request

#: How long a follower may take to answer a command that this process has finished.
_ANSWER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Rank:
    """One of the processes, whose device is ``devices[rank]``."""

    rank: int
    devices: tuple[str, ...]
    #: The file through which the processes find each other.
    rendezvous: Path

    def join(self) -> DeviceMesh:
        """Joins the process group. Returns once all processes have joined."""
        where = torch.device(self.devices[self.rank])
        if where.type == "cuda":
            torch.cuda.set_device(where)
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # by default, gloo looks up the host's name
        distributed.init_process_group(
            "nccl" if where.type == "cuda" else "gloo",
            init_method=self.rendezvous.as_uri(),
            rank=self.rank,
            world_size=len(self.devices),
            timeout=timedelta(seconds=settings.get().hang_seconds),
        )
        return init_device_mesh(where.type, (len(self.devices),))


@dataclass(frozen=True, slots=True)
class LoadCommand:
    """Loads a model under a new number. The answer is its ``batch_tokens``, or the class name of an error."""

    model: int
    spec: ModelSpec


@dataclass(frozen=True, slots=True)
class DropCommand:
    """Drops a model. No answer."""

    model: int


@dataclass(frozen=True, slots=True)
class StartCommand:
    """Starts a batch of a model under a new number. No answer."""

    model: int
    batch: int


@dataclass(frozen=True, slots=True)
class AddCommand:
    """Adds requests to a batch. No answer: an error closes the batch."""

    batch: int
    requests: Sequence[Request]


@dataclass(frozen=True, slots=True)
class StepCommand:
    """Runs one step of a batch. No answer: an error closes the batch."""

    batch: int


@dataclass(frozen=True, slots=True)
class CloseCommand:
    """Closes a batch. The answer is the class name of the error that had closed it before, or None."""

    batch: int


Command = LoadCommand | DropCommand | StartCommand | AddCommand | StepCommand | CloseCommand


class RankGroup:
    """This process and its followers, from their start to ``close``."""

    def __init__(self, devices: Sequence[str]) -> None:
        self.devices = tuple(devices)
        self._folder = tempfile.TemporaryDirectory(prefix="lengthwise-ranks-")
        rendezvous = Path(self._folder.name) / "rendezvous"
        self._children: list[Child] = []
        self._pipes: list[Connection[Any, Any]] = []
        self._numbers = count()
        #: The numbers of batches that were dropped without being closed. The garbage collector adds them, at any time.
        self.abandoned: deque[int] = deque()
        self._is_closed = False
        ranks = [Rank(number, self.devices, rendezvous) for number in range(len(devices))]
        try:
            for rank in ranks[1:]:
                self._start(rank)
            self.mesh = ranks[0].join()
        except BaseException:
            self.close()
            raise

    def _start(self, rank: Rank) -> None:
        ours, theirs = Pipe()
        with theirs:
            command = [sys.executable, "-P", "-m", "worker.engine.transformer.parallel.follower", str(theirs.fileno())]
            environment = without_secrets()
            child = Child(Program(f"rank-{rank.rank}", command, environment, pass_fds=[theirs.fileno()]))
            child.start()
        self._children.append(child)
        self._pipes.append(ours)
        ours.send(rank)

    @property
    def is_alive(self) -> bool:
        """Whether all followers run."""
        return not self._is_closed and all(child.is_running for child in self._children)

    def new_number(self) -> int:
        """A new number, for a model or a batch."""
        return next(self._numbers)

    def send(self, command: Command) -> None:
        """Closes abandoned batches, then sends the command to all followers.

        Raises ``OSError`` if a follower has ended.
        """
        while self.abandoned:
            self._write(CloseCommand(self.abandoned.popleft()))
            self.answers()
        self._write(command)

    def _write(self, command: Command) -> None:
        for pipe in self._pipes:
            pipe.send(command)

    def answers(self, timeout: float | None = _ANSWER_SECONDS) -> list[Any] | None:
        """Receives an answer from each follower. Returns None if one takes longer than ``timeout`` or has ended."""
        found = []
        try:
            for pipe in self._pipes:
                if not pipe.poll(timeout):
                    return None
                found.append(pipe.recv())
        except (EOFError, OSError):
            return None
        return found

    def close(self) -> None:
        """Kills the followers, and leaves the process group."""
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
    """The processes for these devices. Starts them at the first call, and again if they have ended.

    Raises ``ConfigurationError`` if this process has a group for other devices, because torch allows one per process.
    """
    global _ranks
    if _ranks is not None and _ranks.is_alive and _ranks.devices != tuple(devices):
        raise ConfigurationError(f"this process shares its models over {'+'.join(_ranks.devices)} already")
    if _ranks is None or not _ranks.is_alive:
        if _ranks is not None:
            _ranks.close()
        _ranks = RankGroup(devices)
    return _ranks
