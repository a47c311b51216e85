"""Ctrl-C and SIGTERM: the command says whether a job exists, and how to go on, and ends with the signal's exit code.

If the server goes away, the command says the same.
"""

import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

import typer

from lengthwise.cli import start
from lengthwise.client import (
    Client,
    ClientError,
    ConfigurationError,
    Job,
    TooBusyError,
    UnavailableError,
    UnreachableError,
)

#: Exit codes, as shells number them: of Ctrl-C and of SIGTERM.
INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM

#: After it was interrupted, a command asks the API for its job so often, and so many seconds apart: the API may still
#: be reading what it was sent.
_TRIES = 3
_PAUSE_SECONDS = 0.5

#: The server is away, or had no room. What it did with the last request is not known, or may be asked for again.
_LOST = (UnreachableError, UnavailableError, TooBusyError)


class Terminated(KeyboardInterrupt):
    """SIGTERM. It ends a command as Ctrl-C does."""


@contextmanager
def catching(*lines: str) -> Iterator[None]:
    """Ends the command with the signal's exit code if it is interrupted within the block, and says these lines."""
    is_main = threading.current_thread() is threading.main_thread()
    before: Any = signal.SIG_DFL
    if is_main:
        start.end()
        before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except KeyboardInterrupt as stop:
        if lines:
            _say("", *lines)
        _end(stop)
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before)


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated


def _end(stop: KeyboardInterrupt) -> NoReturn:
    raise typer.Exit(TERMINATED if isinstance(stop, Terminated) else INTERRUPTED) from None


@contextmanager
def explained(*lines: str) -> Iterator[None]:
    """As ``catching``, and prints these lines on stderr. So does an error after which the command can be repeated."""
    try:
        yield
    except KeyboardInterrupt as stop:
        _say("", *lines)
        _end(stop)
    except (*_LOST, ConfigurationError):
        _say(*lines)
        raise


@contextmanager
def while_submitting(ask: Callable[[], Client], key: str, was_sent: Callable[[], bool]) -> Iterator[None]:
    """As ``explained``, while a job is submitted under this idempotency key. ``ask`` makes a client for one question.

    ``was_sent`` says whether a request has begun.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        if was_sent():
            _tell_of(ask, key)
        else:
            _say("", "nothing was sent, so there is no job")
        _end(stop)
    except _LOST:
        _say(f"it is not known whether there is a job: {_later(key)} says so")
        raise


def _tell_of(ask: Callable[[], Client], key: str) -> None:
    _say("", f"asking the API whether there is a job (later, {_later(key)} says so)")
    try:
        with ask() as client:
            job = _find(client, key)
    except ClientError:
        _say("the API does not say whether there is a job; ask it again later")
        return
    if job is None:
        _say("there is no job, unless the API had everything and has not stored it yet")
    else:
        _say(*following(job.id))


def _later(key: str) -> str:
    return f"`lengthwise jobs --idempotency-key {shlex.quote(key)}`"


def _find(client: Client, key: str) -> Job | None:
    for _ in range(_TRIES):
        if found := list(client.jobs(1, idempotency_key=key)):
            return found[0]
        time.sleep(_PAUSE_SECONDS)
    return None


def following(job_id: str, more: str = "") -> tuple[str, str]:
    """What to do about a job that goes on. ``more`` are options of ``lengthwise results``."""
    return (
        f"the job {job_id} goes on: wait for it with `lengthwise results {job_id} --wait{more}`,",
        f"or cancel it with `lengthwise cancel {job_id}`",
    )


def _say(*lines: str) -> None:
    for line in lines:
        typer.echo(line, err=True)
