"""Bodies are spooled to disk before they are read, so that a slow caller holds no database connection.

A compressed body stays compressed there, and is unpacked while it is read. The bytes on disk are counted, because
everything that is received at a time shares the disk with everybody's work.
"""

import errno
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from io import BufferedReader
from shutil import copyfileobj
from tempfile import SpooledTemporaryFile
from typing import IO, Protocol
from uuid import UUID

from anyio import CapacityLimiter, to_thread
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from lengthwise.errors import TooBusy, TooLarge, Unavailable
from lengthwise.inflate import ENCODINGS, UnpackedFile

#: A thousand callers may send this much and no more, so it is little.
_IN_MEMORY = 2**17
_BLOCK = 2**16
#: Texts in JSON are about so many times as long as what gzip and zstd make of them.
_TEXT_RATIO = 5
#: Bytes of one body that the disk may lag behind. Whatever else is written, such as a commit, waits for them.
_UNWRITTEN_BYTES = 32 * 2**20
#: Threads that write bodies. A slow disk holds these, and not those that answer other requests.
_WRITERS = 4


class ArrivingBody(Protocol):
    """A request, or a part of one."""

    @property
    def headers(self) -> Headers: ...
    def stream(self) -> AsyncIterator[bytes]: ...


class Spools:
    """The bodies that one process is receiving or reading. Used by one event loop."""

    def __init__(self, total: int, of_tenant: int) -> None:
        """The most bytes that may be on disk: of all tenants, and of one."""
        self._total, self._of_tenant = total, of_tenant
        self._held: Counter[UUID] = Counter()
        self._writers = CapacityLimiter(_WRITERS)
        self._parser = CapacityLimiter(1)

    @asynccontextmanager
    async def body(self, request: ArrivingBody, tenant: UUID, limit: int) -> AsyncIterator[IO[bytes]]:
        """The whole body, as a file at its beginning that shows it unpacked.

        Raises ``TooLarge`` as soon as more than ``limit`` bytes were sent, ``TooBusy`` if too many others are held, and
        ``Unavailable`` if the disk is full. An unknown encoding is a 415. Reading the file raises ``TooLarge`` if it
        unpacks to more than ``limit`` bytes, and ``InvalidInput`` if it cannot be unpacked.
        """
        encoded = _encoding(request)
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and len(declared) < 20 and int(declared) > limit:
            raise _too_large(limit)
        with SpooledTemporaryFile(max_size=_IN_MEMORY) as file, self._counted(tenant) as add:
            with room():
                await self._spool(request, file, limit, add)
            file.seek(0)
            yield BufferedReader(UnpackedFile(file, encoded, limit), _BLOCK) if encoded else file

    async def in_thread(self, parse: Callable[[bytes], bytes], chunk: bytes) -> bytes:
        """Parses a chunk of an arriving body, one at a time: more threads would keep the event loop from its turns."""
        return await to_thread.run_sync(parse, chunk, limiter=self._parser)

    async def _spool(self, request: ArrivingBody, file: IO[bytes], limit: int, add: Callable[[int], None]) -> None:
        size = n_unwritten = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            add(len(chunk))
            if size <= _IN_MEMORY:
                file.write(chunk)
                continue
            await to_thread.run_sync(file.write, chunk, limiter=self._writers)
            n_unwritten += len(chunk)
            if n_unwritten >= _UNWRITTEN_BYTES:
                await to_thread.run_sync(_write_out, file, limiter=self._writers)
                n_unwritten = 0

    @contextmanager
    def _counted(self, tenant: UUID) -> Iterator[Callable[[int], None]]:
        """Yields what counts the bytes of one body. It raises ``TooBusy``."""
        size = 0

        def add(n_bytes: int) -> None:
            nonlocal size
            if self._held[tenant] + n_bytes > self._of_tenant or self._held.total() + n_bytes > self._total:
                raise TooBusy("too many bytes of other requests are being received", retry_after=5)
            self._held[tenant] += n_bytes
            size += n_bytes

        try:
            yield add
        finally:
            self._held[tenant] -= size
            if not self._held[tenant]:
                del self._held[tenant]


def _write_out(file: IO[bytes]) -> None:
    """Waits for the disk now, so that a commit does not wait for a gibibyte of others' bytes later."""
    file.flush()
    os.fdatasync(file.fileno())


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"a body may have at most {limit} bytes", "body")


def likely_size(file: IO[bytes]) -> int:
    """The bytes of a body, which stays where it is read. Of a compressed one, they are an estimate."""
    raw = getattr(file, "raw", None)
    return _TEXT_RATIO * _size(raw.packed) if isinstance(raw, UnpackedFile) else _size(file)


def _size(file: IO[bytes]) -> int:
    at = file.tell()
    n_bytes = file.seek(0, os.SEEK_END)
    file.seek(at)
    return n_bytes


@contextmanager
def room() -> Iterator[None]:
    """Raises ``Unavailable`` if the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Unavailable("there is no room for this body", retry_after=60, full=True) from None


@contextmanager
def on_disk(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """A file with a descriptor: this one, or what it unpacks to. Raises ``Unavailable``, and what reading raises."""
    if not isinstance(getattr(file, "raw", None), UnpackedFile):
        yield file
        return
    with SpooledTemporaryFile(max_size=_IN_MEMORY) as unpacked:
        with room():
            copyfileobj(file, unpacked, _BLOCK)
        yield unpacked


def _encoding(request: ArrivingBody) -> str | None:
    """How the body is compressed, if it is. An unknown encoding, or more than one, is a 415."""
    named = [part.strip().lower() for part in ",".join(request.headers.getlist("content-encoding")).split(",")]
    if named in ([""], ["identity"]):
        return None
    found = named[0].removeprefix("x-") if len(named) == 1 else ""
    if found not in ENCODINGS:
        accepted = ", ".join(ENCODINGS)
        detail = f"a body is sent as it is, or in one of these encodings: {accepted}"
        raise HTTPException(415, detail, headers={"Accept-Encoding": accepted})
    return found
