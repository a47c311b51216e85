"""Runs one system that is measured as a process of its own, with one thread. It answers lines with objects of JSON."""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[1]
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1") | {
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


class SystemFailure(Exception):
    """A system could not be loaded, or its answers are not what was asked for."""


@dataclass
class ChildProgram:
    """A running program. ``name`` is for errors."""

    name: str
    process: subprocess.Popen[str]

    def ask(self, line: str) -> dict[str, Any]:
        """Sends a line, and returns the answer. Raises ``SystemFailure``."""
        assert self.process.stdin is not None  # noqa: S101 — the process was started with pipes
        try:
            print(line, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise self._ended() from None
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """The next answer. Raises ``SystemFailure`` if the program ended."""
        assert self.process.stdout is not None  # noqa: S101
        for line in self.process.stdout:
            if line.startswith("{"):  # other lines come from libraries
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise self._ended()

    def _ended(self) -> SystemFailure:
        return SystemFailure(f"{self.name} ended unexpectedly; its errors are above")


@contextmanager
def running(name: str, python: Path, module: str, arguments: Sequence[str]) -> Iterator[ChildProgram]:
    """Runs ``python -m module arguments`` in the repository, and ends it at last."""
    command = [str(python), "-m", module, *arguments]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT, env=os.environ | _ONE_THREAD
    )
    try:
        yield ChildProgram(name, process)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
