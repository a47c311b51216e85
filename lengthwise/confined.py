"""Runs a function on a stranger's bytes in a child process with limits of time and memory, and without our secrets.

The function is named as ``module:function``, takes the request and perhaps an open file, and returns or yields answers.
Whatever it does, it can only end its own process: a loop that holds the GIL is ended by the kernel, and a huge
allocation raises ``MemoryError`` there and not here. Where the system allows it, the child has no network. The children
stay for further calls, since starting one takes a few tenths of a second. For the same reason a child only watches: it
forks the process that runs the function, and forks another one, in some milliseconds, when the kernel has ended that.
"""

import ctypes
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from struct import Struct
from typing import IO, Literal

from lengthwise.errors import InvalidInput, TooLarge, Unavailable

#: What the child runs: on the request's bytes and the file that came with them. Raises ``InvalidInput`` to refuse them.
Function = Callable[[bytes, IO[bytes] | None], Iterable[bytes]]

_FRAME = Struct("!cQ")
_EXIT_CODE = Struct("!i")
_ANSWER, _END, _REFUSED, _OUT_OF_MEMORY, _FAILED = b"a", b"e", b"r", b"m", b"f"
#: Variables that a child needs to start. It gets no others, and so no keys and no addresses of servers.
_PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR", "COVERAGE_PROCESS_START")
#: Stacks and heaps that libraries reserve would count towards the budget without being used.
_RESERVE_LITTLE = {
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "ARROW_IO_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
#: How long a call may wait for its child's answer, by the clock. The machine may be busy with other work, and the child
#: may have to start: only the CPU time says what a call costs.
_PATIENCE_SECONDS = 30.0
# From sched.h of Linux.
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000


class OverBudget(InvalidInput):
    """The function needed more time or memory than its budget allows."""

    def __init__(self, resource: Literal["time", "memory"]) -> None:
        super().__init__(f"needs too much {resource}")
        self.resource = resource


class ConfinedError(Exception):
    """The function raised an unexpected error, or its process died by itself. Names the error's type at most."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What one call may use: seconds of CPU time, and bytes of memory beyond what the idle child has."""

    seconds: float
    memory_bytes: int


class Confined:
    """Children that run ``function``, at most ``processes`` at a time. They start when they are needed.

    Safe to use from several threads. A process that was forked has children of its own.
    """

    def __init__(
        self,
        function: str,
        budget: Budget,
        processes: int = 1,
        wait_seconds: float = 5.0,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        """A call waits at most ``wait_seconds`` for a child that is free, and ``patience_seconds`` for each answer."""
        self._function, self._budget = function, budget
        self._n_processes, self._wait_seconds = processes, wait_seconds
        self._patience_seconds = patience_seconds
        self._reset()

    def _reset(self) -> None:
        self._owner = os.getpid()
        self._free = threading.BoundedSemaphore(self._n_processes)
        self._idle: list[_Child] = []
        weakref.finalize(self, _end_all, self._owner, self._idle)

    def call(self, request: bytes, file: IO[bytes] | None = None) -> bytes:
        """All answers to the request, joined. Raises as ``stream`` does."""
        return b"".join(self.stream(request, file))

    def stream(self, request: bytes, file: IO[bytes] | None = None) -> Iterator[bytes]:
        """Yields the function's answers as they come. The child reads the open file itself, from its beginning.

        Raises ``OverBudget``; the ``InvalidInput`` that the function raised; ``Unavailable`` if no child becomes free,
        or if the machine is too busy; ``ConfinedError`` if the function failed.
        """
        if self._owner != os.getpid():
            self._reset()
        if not self._free.acquire(timeout=self._wait_seconds):
            raise Unavailable("too many requests are being checked", retry_after=2)
        child: _Child | None = None
        try:
            child = self._idle_child() or _Child(self._function, self._budget)
            yield from child.answers(request, file, self._patience_seconds)
            self._idle.append(child)
            child = None
        except OverBudget:
            if child is not None and child.begin_again():
                self._idle.append(child)
                child = None
            raise
        finally:
            if child is not None:  # it died, or has not finished: nothing of this call may reach the next one
                child.end()
            self._free.release()

    def _idle_child(self) -> "_Child | None":
        """One that lives: while it was idle, the kernel may have ended it for the memory of others."""
        with suppress(IndexError):
            while not (child := self._idle.pop()).is_alive():
                child.end()
            return child
        return None

    def close(self) -> None:
        """Ends the idle children."""
        _end_all(self._owner, self._idle)


class _Child:
    """A process that forks the one which runs the function, a socket to each, and how the second one ended."""

    def __init__(self, function: str, budget: Budget) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - the command line is this module's own
                [sys.executable, "-P", "-m", __name__, function, json.dumps([budget.seconds, budget.memory_bytes])],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # a traceback could quote what was sent
                env={name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _RESERVE_LITTLE,
                start_new_session=True,  # Ctrl-C then reaches only this process
            )
        self._exit_code: int | None = None
        self._fork()

    def _fork(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs, suppress(OSError):  # if the process has died, the first call finds it out
            socket.send_fds(self._control, [b"f"], [theirs.fileno()])

    def is_alive(self) -> bool:
        """Whether both processes live while no call is under way: only a socket's end can then be read."""
        ends = select.poll()
        ends.register(self._socket, select.POLLIN)
        ends.register(self._control, select.POLLIN)
        return not ends.poll(0)

    def begin_again(self) -> bool:
        """Forks another process if the kernel has ended the one that ran the function. Nothing of its call is left."""
        if self._exit_code is None:
            return False
        self._exit_code = None
        self._fork()
        return True

    def answers(
        self, request: bytes, file: IO[bytes] | None, patience_seconds: float = _PATIENCE_SECONDS
    ) -> Iterator[bytes]:
        deadline = time.monotonic() + patience_seconds
        try:
            self._send(request, file, deadline)
            while True:
                self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
                kind, body = _receive(self._socket)
                if kind == _END:
                    return
                if kind != _ANSWER:
                    raise _error(kind, body)
                yield body
                deadline = time.monotonic() + patience_seconds  # the caller may have taken long
        except TimeoutError:
            raise Unavailable("the machine is too busy to check this", retry_after=2) from None
        except (EOFError, OSError):
            raise self._death() from None

    def _send(self, request: bytes, file: IO[bytes] | None, deadline: float) -> None:
        self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
        descriptors = [] if file is None else [file.fileno()]
        socket.send_fds(self._socket, [_FRAME.pack(bytes([len(descriptors)]), len(request))], descriptors)
        self._socket.sendall(request)

    def _death(self) -> Exception:
        self._socket.close()
        self._control.settimeout(1)
        with suppress(OSError, EOFError):
            [self._exit_code] = _EXIT_CODE.unpack(_read(self._control, _EXIT_CODE.size))
        # SIGKILL comes from the kernel when the machine has no memory left.
        found = {-signal.SIGPROF: OverBudget("time"), -signal.SIGKILL: OverBudget("memory")}
        code = self._exit_code
        return found.get(code or 0) or ConfinedError(f"the confined process ended with {code}")

    def end(self) -> None:
        self._socket.close()
        self._control.close()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _end_all(owner: int, idle: list[_Child]) -> None:
    """Ends these children, unless this process is a fork of the one that started them."""
    while idle and os.getpid() == owner:
        idle.pop().end()


def _error(kind: bytes, body: bytes) -> Exception:
    if kind == _OUT_OF_MEMORY:
        return OverBudget("memory")
    if kind == _FAILED:
        return ConfinedError(f"the confined function raised {body.decode()}")
    is_too_large, message, field, index = json.loads(body)
    return (TooLarge if is_too_large else InvalidInput)(message, field, index)


def _receive(connection: socket.socket) -> tuple[bytes, bytes]:
    kind, size = _FRAME.unpack(_read(connection, _FRAME.size))
    return kind, _read(connection, size)


def _read(connection: socket.socket, size: int) -> bytes:
    found = bytearray(size)
    view, at = memoryview(found), 0
    while at < size:
        count = connection.recv_into(view[at:])
        if not count:
            raise EOFError
        at += count
    return bytes(found)


# What follows runs in the child.


def _serve(arguments: Sequence[str]) -> None:
    name, given = arguments
    _leave_the_network()
    module, _, function = name.partition(":")
    run: Function = getattr(import_module(module), function)
    seconds, memory_bytes = json.loads(given)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    limit = data_bytes() + memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # An error of a socket means that the parent has ended.
    with socket.socket(fileno=0) as control, suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while descriptors := socket.recv_fds(control, 1, 1)[1]:
            with socket.socket(fileno=descriptors[0]) as connection:
                process = os.fork()
                if not process:
                    control.close()
                    while True:
                        _answer(connection, run, seconds)
            status = os.waitpid(process, 0)[1]
            control.sendall(_EXIT_CODE.pack(os.waitstatus_to_exitcode(status)))


def _leave_the_network() -> None:
    """Moves this process into a network of its own, which has no interface that is up.

    Root needs no new user namespace, in which it would lose its right to read the files of others. Some systems refuse
    both, such as most containers: then the network stays.
    """
    unshare = ctypes.CDLL(None).unshare
    if unshare(_CLONE_NEWNET):
        unshare(_CLONE_NEWUSER | _CLONE_NEWNET)


def _answer(connection: socket.socket, run: Function, seconds: float) -> None:
    head, descriptors, _, _ = socket.recv_fds(connection, _FRAME.size, 1)
    if not head:
        raise EOFError
    _, size = _FRAME.unpack(head + _read(connection, _FRAME.size - len(head)))
    request = _read(connection, size)
    # The kernel ends the process once its threads have computed for so long, whatever holds the GIL.
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        if descriptors:
            with os.fdopen(descriptors[0], "rb") as file:
                file.seek(0)
                _run(connection, run(request, file))
        else:
            _run(connection, run(request, None))
    except InvalidInput as error:
        message = json.dumps([isinstance(error, TooLarge), str(error), error.field, error.index])
        _reply(connection, _REFUSED, message.encode())
    except MemoryError:
        _reply(connection, _OUT_OF_MEMORY)
    except OSError:
        raise
    except Exception as error:  # its message could quote what was sent
        _reply(connection, _FAILED, type(error).__name__.encode())
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _run(connection: socket.socket, answers: Iterable[bytes]) -> None:
    for answer in answers:
        _reply(connection, _ANSWER, answer)
    _reply(connection, _END)


def _reply(connection: socket.socket, kind: bytes, body: bytes = b"") -> None:
    connection.sendall(_FRAME.pack(kind, len(body)) + body)


def data_bytes() -> int:
    """What counts towards ``RLIMIT_DATA`` now: the heap, and private mappings that can be written."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    _serve(sys.argv[1:])
