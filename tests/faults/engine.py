"""An engine that returns its input reversed. Some inputs kill it, hang it or exhaust its memory.

Single characters in a text decide what it does, so the harness controls the engine through texts alone.
"""

import os
import re
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lengthwise.models.catalog import ModelSpec
from tests.fakes import write_echo_model
from tests.faults import control
from worker.engine.echo import ContinuousEcho, EchoEngine
from worker.engine.plain_batch import Steps
from worker.engine.protocol import Completion, EngineBatch, OutOfMemoryError, Request

#: The process that runs it is killed.
POISON = "~"
#: The engine never returns.
HANG = "^"
#: It fits into memory only in a batch of its own.
HEAVY = "`"
#: It never fits into memory.
IMMENSE = "|"
#: The engine holds the interpreter and never returns.
GIL = "{"
MARKS = POISON + HANG + HEAVY + IMMENSE + GIL
#: What is done with the answer never ends, outside of the engine: in Python, or while the interpreter is held.
ENDLESS_ANSWER = "["
ENDLESS_PROMPT = "<"
GIL_ANSWER = "]"

ROWS = 16
_CATALOG = f"""
[models.echo]
path = "echo"
engine = "faulty"
batch_tokens = 4096
batch_rows = {ROWS}
max_new_tokens = 512
[models.echo.generate]
"""
_ENTRY_POINTS = """\
[lengthwise.engines]
faulty = tests.faults.engine:FaultyEngine
"""


class FaultyEngine(EchoEngine):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        # Every character is one token. The printable characters come after four special tokens.
        self._mark_of = {4 + ord(mark) - 0x20: mark for mark in MARKS}
        self._control = control.of_environment()

    def start(self) -> EngineBatch:
        return FaultyBatch(self) if self.capabilities().is_continuous else super().start()

    def run(self, requests: Sequence[Request]) -> Steps:
        self.examine(requests, len(requests))
        for finished in super().run(requests):
            middle = len(finished) // 2
            yield finished[:middle]
            self.reach_halfway()
            yield finished[middle:]

    def reach_halfway(self) -> None:
        self._control.reach("halfway")

    def examine(self, requests: Sequence[Request], n_requests: int) -> None:
        """Suffers what these requests, of ``n_requests`` in the batch, do to it."""
        self._control.reach("generating")
        for request in requests:
            for token in request.tokens:
                if token in self._mark_of:
                    self._suffer(self._mark_of[token], n_requests, len(request.tokens))

    def _suffer(self, mark: str, n_requests: int, n_tokens: int) -> None:
        if mark == IMMENSE or (mark == HEAVY and n_requests > 1):
            raise OutOfMemoryError("the input asks for it")
        if mark == POISON:
            self._control.tally("poison")
            if n_tokens % 2:
                os._exit(139)
            os.kill(os.getpid(), signal.SIGKILL)
        if mark == GIL:
            self._control.tally("gil")
            hold_interpreter()
        if mark == HANG:
            self._control.tally("hang")
            while True:
                time.sleep(60)


class FaultyBatch(ContinuousEcho):
    def __init__(self, engine: FaultyEngine) -> None:
        super().__init__(engine)
        self._faulty = engine

    def add(self, requests: Sequence[Request]) -> None:
        super().add(requests)
        if requests:
            try:
                self._faulty.examine(requests, self.n_requests)
            except OutOfMemoryError:
                self.close()
                raise

    def step(self) -> Sequence[Completion]:
        finished = super().step()
        for _ in finished:
            self._faulty.reach_halfway()
        return finished


def hold_interpreter() -> None:
    """Holds the interpreter for longer than anybody waits, and needs no memory: 2 to the power of 60 steps."""
    re.match(r"(a|a)*b", "a" * 60)


def conclude(text: str) -> None:
    """Does to a worker what an answer to this text asks for."""
    if GIL_ANSWER in text:
        hold_interpreter()
    while ENDLESS_ANSWER in text:
        pass


def prompt(texts: Iterable[str]) -> None:
    """Does to a worker what making prompts of these texts asks for."""
    while any(ENDLESS_PROMPT in text for text in texts):
        pass


def install(folder: Path, pace: Mapping[str, float]) -> Path:
    """Makes a package in ``folder`` that registers the engine as ``faulty``. Returns the path of a ``models.toml``.

    ``folder`` must be on PYTHONPATH. ``pace`` has ``seconds_per_batch`` or, for continuous batching,
    ``seconds_per_step``.
    """
    package = folder / "faulty-1.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1\n")
    (package / "entry_points.txt").write_text(_ENTRY_POINTS)
    write_echo_model(folder / "echo", **pace)
    catalog = folder / "models.toml"
    catalog.write_text(_CATALOG)
    return catalog
