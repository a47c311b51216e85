"""The processes that share the layers of models too large for one device: this one is the first, the others follow.

All run the same program on the same requests, each with its part of every layer, and add up what they found in torch's
collectives. What is to run they are told over a pipe each.
"""

import os
import sys
import tempfile
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

#: For a follower to say how its part of a batch ended, once ours has.
_PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RankAssignment:
    """One of the processes: ``devices[rank]`` is its own."""

    rank: int
    devices: tuple[str, ...]
    #: The file by which they find each other.
    meeting: Path

    def join(self) -> DeviceMesh:
        """Meets the others; returns once all are there."""
        where = torch.device(self.devices[self.rank])
        if where.type == "cuda":
            torch.cuda.set_device(where)
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # or it looks for the address that the host's name has
        distributed.init_process_group(
            "nccl" if where.type == "cuda" else "gloo",
            init_method=self.meeting.as_uri(),
            rank=self.rank,
            world_size=len(self.devices),
            timeout=timedelta(seconds=settings.get().hang_seconds),
        )
        return init_device_mesh(where.type, (len(self.devices),))


@dataclass(frozen=True, slots=True)
class LoadModel:
    """A model, by a number of its own; answered with its ``batch_tokens``, or the name of an error."""

    number: int
    spec: ModelSpec


@dataclass(frozen=True, slots=True)
class DropModel:
    number: int


@dataclass(frozen=True, slots=True)
class RunBatch:
    """A batch; answered with the name of the error that ended it, or None."""

    number: int
    requests: Sequence[Request]


@dataclass(frozen=True, slots=True)
class RunOpenBatch:
    """A batch that others join, portion by portion; answered likewise."""

    number: int


@dataclass(frozen=True, slots=True)
class JoinBatch:
    """Those that join an open batch before its next step, if any."""

    requests: Sequence[Request]


class RankGroup:
    """This process and its followers, until ``close``."""

    def __init__(self, devices: Sequence[str]) -> None:
        self.devices = tuple(devices)
        self._folder = tempfile.TemporaryDirectory(prefix="lengthwise-ranks-")
        meeting = Path(self._folder.name) / "meeting"
        self._children: list[Child] = []
        self._pipes: list[Connection[Any, Any]] = []
        self._numbers = count()
        self._is_closed = False
        places = [RankAssignment(rank, self.devices, meeting) for rank in range(len(devices))]
        try:
            for place in places[1:]:
                self._start(place)
            self.mesh = places[0].join()
        except BaseException:
            self.close()
            raise

    def _start(self, place: RankAssignment) -> None:
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
        """For another model."""
        return next(self._numbers)

    def tell(self, message: LoadModel | DropModel | RunBatch | RunOpenBatch | JoinBatch) -> None:
        """To all followers. Raises ``OSError`` where one is no more."""
        for pipe in self._pipes:
            pipe.send(message)

    def answers(self, patience: float | None = _PATIENCE_SECONDS) -> list[Any] | None:
        """One of each follower; None if one is late or no more."""
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
        """Ends the followers, and this process's part in the group."""
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
    """Those of these devices: started once a process, and anew where they were closed.

    Raises ``ConfigurationError`` where this process is one of other devices': torch has one group a process.
    """
    global _ranks
    if _ranks is not None and _ranks.is_open and _ranks.devices != tuple(devices):
        raise ConfigurationError(f"this process shares its models over {'+'.join(_ranks.devices)} already")
    if _ranks is None or not _ranks.is_open:
        if _ranks is not None:
            _ranks.close()
        _ranks = RankGroup(devices)
    return _ranks
