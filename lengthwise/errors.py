"""All errors that this system raises on purpose, by what the caller can do about them.

    LengthwiseError
      ConfigurationError     the operator must correct a setting or a file
        ModelUnusable        a model of models.toml cannot be served (409)
      InvalidInput           the caller must change the request      (4xx; names the field, never its text)
        TooLarge             it must be smaller                      (413)
        UnknownName          its model, kind or language is unknown  (422)
      Unanswerable           this item ends with an error, and the others go on
      Unauthorized           the request has no valid key            (401)
      Forbidden              the key may not do this                 (403)
      NotFound               this tenant has no such thing           (404)
      Conflict               its state does not allow this           (409)
      TooBusy                too much work waits, try again later    (429)
      Unavailable            the same call may succeed later         (503)

Messages give a value's name and what is allowed, never the value that was sent.
"""


class LengthwiseError(Exception):
    """The base of every error that this system raises on purpose."""


class ConfigurationError(LengthwiseError):
    """A setting or a file of the installation is wrong."""


class ModelUnusable(ConfigurationError):
    """A model of ``models.toml`` cannot be served. Callers see all of it, so it names no path of a machine.

    ``code`` is one of ``lengthwise.models.usable.CODES``; ``remedy`` is the command that mends it, or what to do.
    """

    def __init__(self, model: str, code: str, reason: str, remedy: str) -> None:
        super().__init__(f"model {model} cannot be served: {reason}. To mend it: {remedy}")
        self.model = model
        self.code = code
        self.reason = reason
        self.remedy = remedy


class InvalidInput(LengthwiseError):
    """The request is not valid. ``field`` is a path such as ``items[3].text``; ``index`` is the item's, if any."""

    def __init__(self, message: str, field: str | None = None, index: int | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.index = index


class TooLarge(InvalidInput):
    """The body, a line or a text exceeds its limit."""


class UnknownName(InvalidInput):
    """A kind, model or language that this installation does not have."""


class Unanswerable(LengthwiseError):
    """An item cannot be answered, whatever its model says.

    ``code`` is one of ``lengthwise.kinds.result_line.ERRORS``.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Unauthorized(LengthwiseError):
    """The request has no key, or its key is unknown, wrong, expired or revoked. The error does not say which."""

    def __init__(self) -> None:
        super().__init__("a valid API key is needed, as Authorization: Bearer lw_...")


class Forbidden(LengthwiseError):
    """The key is valid, but may not do this."""

    def __init__(self) -> None:
        super().__init__("this API key may not do this")


class NotFound(LengthwiseError):
    """There is no such thing, or it belongs to another tenant."""


class Conflict(LengthwiseError):
    """The thing's state does not allow this."""


class TooBusy(LengthwiseError):
    """As much work waits as is allowed. There should be less in ``retry_after`` seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(LengthwiseError):
    """A server that this system needs is away or full. Nothing was lost: try again in ``retry_after`` seconds."""

    def __init__(self, message: str, retry_after: int = 5, full: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.full = full


class DatabaseUnavailable(Unavailable):
    """The database is away, full or overloaded, or somebody holds its locks for long.

    ``is_away``: no other request would be answered now either.
    """

    def __init__(self, message: str, retry_after: int = 5, full: bool = False, is_away: bool = False) -> None:
        super().__init__(message, retry_after, full)
        self.is_away = is_away
