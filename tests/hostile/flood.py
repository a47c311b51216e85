"""Sends generated requests from several processes, each over a connection that it keeps."""

import http.client
import multiprocessing
import time
from collections.abc import Iterator
from itertools import islice

from tests.hostile.generated import GeneratedRequest, requests
from tests.hostile.verdict import Outcome

#: An answer that takes longer is a stall. Single requests may wait for their answer for 20 s in this installation.
_STALL_SECONDS = 25.0
#: Requests between two reports.
_PORTION = 2_000


def flood(port: int, key: str, seed: int, count: int, callers: int) -> Iterator[Outcome]:
    """Sends ``count`` requests from ``callers`` processes. Yields what every few thousand of them met."""
    portions = [(port, key, seed * 1_000_003 + number, min(_PORTION, count - number * _PORTION))
                for number in range(-(-count // _PORTION))]  # fmt: skip
    with multiprocessing.get_context("spawn").Pool(callers) as pool:
        yield from pool.imap_unordered(_send_portion, portions)


def _send_portion(given: tuple[int, str, int, int]) -> Outcome:
    port, key, seed, count = given
    found = Outcome("generated")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for request in islice(requests(seed, key), count):
        connection = _send(connection, request, found, seed)
    connection.close()
    return found


def _send(
    connection: http.client.HTTPConnection, request: GeneratedRequest, found: Outcome, seed: int
) -> http.client.HTTPConnection:
    what = f"for {request.method} {request.path[:60]} of seed {seed}, request {found.n_requests}"
    began = time.monotonic()
    for attempt in range(2):
        try:
            connection.request(request.method, request.path, request.body, request.headers)
            answer = connection.getresponse()
            body = answer.read()
            found.saw(answer.status, body, what)
            if answer.will_close:
                connection.close()
            break
        except TimeoutError:
            found.problem(f"no answer within 60 s {what}")
            connection.close()
            break
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()  # an idle connection may end at any time: the request is sent once more
            if attempt and not isinstance(error, ValueError):
                found.saw(0)
            if isinstance(error, ValueError):  # it cannot be written as a request at all
                break
    if (seconds := time.monotonic() - began) > _STALL_SECONDS:
        found.problem(f"{seconds:.0f} s {what}")
    return connection
