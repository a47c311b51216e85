"""The client's errors; the docstring of ``lengthwise.client`` shows them as a tree."""

from typing import Any

from pydantic_core import from_json

from lengthwise import errors


class ClientError(errors.LengthwiseError):
    """The root of the client's errors, besides ``ConfigurationError``."""


class RefusedError(ClientError):
    """The server refused. ``title``, ``detail``, ``field`` and ``index`` come from its problem details."""

    def __init__(self, status: int, problem: dict[str, Any], retry_after: int | None = None) -> None:
        self.status = status
        self.title = str(problem.get("title", "error"))
        self.detail = str(problem.get("detail", ""))
        self.field: str | None = problem.get("field")
        self.index: int | None = problem.get("index")
        #: Seconds after which the server asks for the next try.
        self.retry_after: int | None = retry_after
        place = f"{self.field}: " if self.field else ""
        # Not super().__init__: the second base of a subclass has other arguments, and would overwrite these attributes.
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
    """The connection failed or broke, at every try."""


class WaitTimeoutError(ClientError, TimeoutError):
    """The job did not end in the time given to ``wait``; it goes on."""


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
    """The error for an answer with a status of 300 or above."""
    try:
        problem = from_json(content)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"title": "unexpected answer", "detail": "it does not come from lengthwise: is this the right URL?"}
    kind = _BY_STATUS.get(status, UnavailableError if status >= 500 else RefusedError)
    seconds = int(retry_after) if retry_after and retry_after.isdecimal() and len(retry_after) < 9 else None
    return kind(status, problem, seconds)
