"""What can go wrong with a call, split by what its caller can do. Each is the error of its name in ``lengthwise`` too.

lengthwise.errors.LengthwiseError
  ClientError
    Refused              the server answered, with problem details
      InvalidInput       change the request: ``field`` and ``index`` say where  (400, 415, 422)
        TooLarge         … to a smaller one                                     (413)
      NotAllowed         another key, or one that may do this                   (401, 403)
      NotFound           there is no such job, or it is another tenant's        (404)
      Conflict           not in this state                                      (409)
      TooBusy            too much waits, and still did after all tries          (429)
      Unavailable        the server, or what it stands on, is away or full      (5xx)
    Unreachable          no answer came, after all tries
    Incomplete           the job has not ended in the time that was given
"""

from typing import Any

from pydantic_core import from_json

from lengthwise import errors


class ClientError(errors.LengthwiseError):
    """The root of what the client raises on purpose, beside ``ConfigurationError``."""


class RefusedError(ClientError):
    """The server's answer. ``title``, ``detail``, ``field`` and ``index`` are those of its problem details."""

    def __init__(self, status: int, problem: dict[str, Any], retry_after: int | None = None) -> None:
        self.status = status
        self.title = str(problem.get("title", "error"))
        self.detail = str(problem.get("detail", ""))
        self.field: str | None = problem.get("field")
        self.index: int | None = problem.get("index")
        #: Seconds after which the server asked to be tried again.
        self.retry_after: int | None = retry_after
        place = f"{self.field}: " if self.field else ""
        # Not that of the class beside: it has another form, and would set what was set here.
        Exception.__init__(self, f"{status} {self.title}: {place}{self.detail}")

    def __reduce__(self) -> Any:
        problem = {"title": self.title, "detail": self.detail, "field": self.field, "index": self.index}
        return type(self), (self.status, problem, self.retry_after)


class InvalidInputError(RefusedError, errors.InvalidInput):
    """400, 415 or 422."""


class TooLargeError(InvalidInputError, errors.TooLarge):
    """413."""


class NotAllowedError(RefusedError):
    """401 or 403."""


class NotFoundError(RefusedError, errors.NotFound):
    """404."""


class ConflictError(RefusedError, errors.Conflict):
    """409."""


class TooBusyError(RefusedError, errors.TooBusy):
    """429."""

    retry_after: int | None  # type: ignore[assignment]  # the server may not say


class UnavailableError(RefusedError, errors.Unavailable):
    """500 and above."""

    retry_after: int | None  # type: ignore[assignment]  # the server may not say


class UnreachableError(ClientError):
    """The connection failed or broke, every time."""


class WaitTimeoutError(ClientError, TimeoutError):
    """The job has not ended in the time that was given; it goes on."""


_BY_STATUS: dict[int, type[RefusedError]] = {
    400: InvalidInputError,
    401: NotAllowedError,
    403: NotAllowedError,
    404: NotFoundError,
    409: ConflictError,
    413: TooLargeError,
    415: InvalidInputError,
    422: InvalidInputError,
    429: TooBusyError,
}


def refusal(status: int, retry_after: str | None, content: bytes) -> RefusedError:
    """The error that an answer of 300 or above is."""
    try:
        problem = from_json(content)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"title": "unexpected answer", "detail": "it is not of lengthwise: is this the right URL?"}
    kind = _BY_STATUS.get(status, UnavailableError if status >= 500 else RefusedError)
    seconds = int(retry_after) if retry_after and retry_after.isdecimal() and len(retry_after) < 9 else None
    return kind(status, problem, seconds)
