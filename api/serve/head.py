"""The limits of what precedes a body, and the answers beyond them. Knows nothing of connections."""

from collections.abc import Iterable, Sequence
from uuid import uuid4

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from api.problem import ErrorForm, Problem

# Constants, because no honest client comes near: SDKs send twenty headers of 2 KiB together, and a long URL has 1 KiB.
MAX_URL_BYTES = 8 * 2**10
MAX_HEADERS = 100
MAX_HEADER_BYTES = 16 * 2**10
MAX_ALL_HEADERS_BYTES = 64 * 2**10

MALFORMED = Problem(400, "bad request", "this is not a valid HTTP/1.1 request")
TOO_MANY_IN_LINE = Problem(400, "bad request", "too many requests were sent before their answers were read")
LATE_HEAD = Problem(408, "request timeout", "the request's headers did not arrive in time")
SLOW_BODY = Problem(408, "request timeout", "the request's body arrives too slowly", "body")
LONG_URL = Problem(414, "uri too long", f"a request's path and query may have at most {MAX_URL_BYTES} bytes")
LARGE_HEAD = Problem(
    431,
    "request header fields too large",
    f"a request may have at most {MAX_HEADERS} headers, each of at most {MAX_HEADER_BYTES} bytes, "
    f"and of {MAX_ALL_HEADERS_BYTES} bytes together",
)

Header = tuple[bytes, bytes]


def large_body(limit: int) -> Problem:
    return Problem(413, "too large", f"a body may have at most {limit} bytes", "body")


def problem(method: bytes, version: str, headers: Sequence[Header], max_body_bytes: int) -> Problem | None:
    """What is wrong with a head that the parser accepts. Whatever could be read in two ways is refused."""
    if method == b"CONNECT" or version not in ("1.0", "1.1"):
        return MALFORMED
    n_hosts = n_codings = 0
    for name, value in headers:
        if name == b"host":
            n_hosts += 1
        elif name == b"transfer-encoding":
            n_codings += 1
            if value.strip().lower() != b"chunked" or version == "1.0":
                return MALFORMED
        elif name == b"content-length" and int(value) > max_body_bytes:
            return large_body(max_body_bytes)
    return MALFORMED if n_codings > 1 or n_hosts > 1 or (n_hosts == 0 and version == "1.1") else None


def framing(headers: Iterable[Header]) -> bytes:
    """A head that says no more than where the body ends."""
    kept = [b"%s: %s\r\n" % header for header in headers if header[0] in (b"content-length", b"transfer-encoding")]
    return b"POST / HTTP/1.1\r\n" + b"".join(kept) + b"\r\n"


def answer(found: Problem, form: ErrorForm, headers: Iterable[Header]) -> bytes:
    """The whole answer as bytes. ``headers`` are those that the server gives every answer."""
    response = form(found)
    last = ((b"x-request-id", f"req_{uuid4().hex}".encode()), (b"connection", b"close"))
    lines = [b"%s: %s\r\n" % header for header in (*headers, *response.raw_headers, *last)]
    return b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", response.body])
