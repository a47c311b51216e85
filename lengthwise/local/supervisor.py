"""Keeps child processes running until a signal asks to stop, and then stops them in order.

Knows nothing of what the children do. SIGTERM, SIGINT and SIGHUP ask it to stop. A second one makes it stop at once.
"""

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Self

from lengthwise.child import Child, stop
from lengthwise.errors import ConfigurationError

LONGEST_BACKOFF_SECONDS = 30.0
#: A child that ran for this long before it ended is restarted quickly.
STEADY_SECONDS = 60.0
#: How often a message says what is still being waited for.
_MENTION_SECONDS = 15.0

Say = Callable[[str], None]


class StopRequested(BaseException):
    """A signal requested a stop. Not an ``Exception``, so that no handler takes it for a failure."""


@dataclass
class _Watched:
    child: Child
    failures: int = 0
    restart_at: float | None = None


class Supervisor:
    """Handles this process's signals while it is entered, and restarts the children given to ``watch``."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._signals = 0
        self._watched: list[_Watched] = []
        self._handlers: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # under nohup, SIGHUP must be ignored
            self._handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal() returned

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def pause(self, seconds: float) -> None:
        """Sleeps. Every wait during the start uses it, so that a signal ends the wait. Raises ``StopRequested``."""
        time.sleep(seconds)
        if self._signals:
            raise StopRequested

    def watch(self, children: Sequence[Child]) -> None:
        """Makes ``run`` restart these children when they end."""
        self._watched += [_Watched(child) for child in children]

    def wait_ready(self, child: Child, is_ready: Callable[[], bool]) -> None:
        """Waits without limit. Raises ``ConfigurationError`` with the child's last lines if it ends first."""
        mention_at = time.monotonic() + _MENTION_SECONDS
        while not is_ready():
            if not child.is_running:
                ended = f"{child.name} ended with code {child.exit_code()} before it was ready"
                raise ConfigurationError(f"{ended}: see {child.log}{child.last_lines()}")
            if time.monotonic() > mention_at:
                self._say(f"still waiting for {child.name}: see {child.log}")
                mention_at += _MENTION_SECONDS
            self.pause(0.05)

    def run(self) -> None:
        """Restarts children that end, with growing delays, until a signal comes."""
        while not self._signals:
            for watched in self._watched:
                self._restart_if_ended(watched)
            time.sleep(0.1)

    def _restart_if_ended(self, watched: _Watched) -> None:
        child, now = watched.child, time.monotonic()
        if watched.restart_at is None:
            if child.is_running:
                return
            watched.failures = 0 if now - child.started_at > STEADY_SECONDS else watched.failures
            delay = min(2.0**watched.failures, LONGEST_BACKOFF_SECONDS)
            ended = f"{child.name} ended with code {child.exit_code()}"
            self._say(f"{ended}; restart in {delay:g} s{child.last_lines(3)}")
            watched.failures, watched.restart_at = watched.failures + 1, now + delay
        elif now >= watched.restart_at:
            watched.restart_at = None
            child.start()

    def stop(self, children: Sequence[Child], grace: float) -> None:
        """Stops these children together within ``grace`` seconds, or at once if a second signal comes."""
        stop(children, grace, is_hurried=lambda: self._signals > 1)
