"""What can go wrong, split by what the caller can do about it.

    LengthwiseError
      ConfigurationError     the operator must mend a setting or a file
      InvalidInput           the caller must change the request      (4xx, names the field, never its text)
        TooLarge             … to a smaller one                      (413)
        UnknownName          … of a model, kind or language          (422)
      Unauthorized           no valid key came with the request      (401)
      Forbidden              the key may not do this                 (403)
      NotFound               there is no such thing for this tenant  (404)
      Conflict               not in this state                       (409)
      TooBusy                too much waits already, come later      (429)
      Unavailable            the same call may succeed later         (503)

Messages name the value's name and what is allowed, never what was sent.
"""


class LengthwiseError(Exception):
    """The root of every error that this system raises on purpose."""


class ConfigurationError(LengthwiseError):
    """A setting or a file of the installation is wrong."""


class InvalidInput(LengthwiseError):
    """The request cannot be taken. ``field`` is a path such as ``items[3].text``; ``index`` is the item's, if one."""

    def __init__(self, message: str, field: str | None = None, index: int | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.index = index


class TooLarge(InvalidInput):
    """The body, a line or a text is over its limit."""


class UnknownName(InvalidInput):
    """A kind, model or language that this installation does not have."""


class Unauthorized(LengthwiseError):
    """The request has no key, or one that is unknown, wrong, expired or revoked: it is not said which."""

    def __init__(self) -> None:
        super().__init__("a valid API key is needed, as Authorization: Bearer lw_...")


class Forbidden(LengthwiseError):
    """The key is valid, and may not do this."""

    def __init__(self) -> None:
        super().__init__("this API key may not do this")


class NotFound(LengthwiseError):
    """There is no such thing, or it is another tenant's."""


class Conflict(LengthwiseError):
    """The thing is not in a state in which this can be done."""


class TooBusy(LengthwiseError):
    """As much work waits as may wait; it should be less in ``retry_after`` seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(LengthwiseError):
    """A server this system stands on is away or full; nothing was lost, try again in ``retry_after`` seconds."""

    def __init__(self, message: str, retry_after: int = 5, full: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.full = full
