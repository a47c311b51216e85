"""What went wrong between this machine and the hub, as one line that says what mends it."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from lengthwise.errors import ConfigurationError
from lengthwise.models.published.naming import said

#: No room, no more of the user's share, or a file that is larger than files may be there.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LOG_IN = "log in (hf auth login, or HF_TOKEN)"
_AGAIN = "run the command again"
#: What an answer of the hub means that has no error class of its own, and what to do.
_STATUSES = {
    401: f"the hub does not know the token that it was sent: {_LOG_IN} with one that is valid, or unset HF_TOKEN",
    403: "the hub does not let this token read {name}: give it the right to on the hub's page of tokens, or "
    f"{_LOG_IN} with another one",
    429: f"the hub takes no more requests for now: wait some minutes, or {_LOG_IN}; then {_AGAIN}",
}


@contextmanager
def explained(hub_id: str, revision: str | None) -> Iterator[None]:
    """Raises ``ConfigurationError`` for whatever ``huggingface_hub`` raises while the model is fetched."""
    try:
        yield
    except ConfigurationError:
        raise
    except Exception as error:  # which HTTP library raises what depends on the version of huggingface_hub
        raise ConfigurationError(_line(error, said(hub_id), revision)) from None


def not_here(hub_id: str, revision: str | None) -> str:
    """The line for a model that the cache does not hold as a whole, if the hub cannot be asked."""
    named = hub_id if revision is None else f"{hub_id} at revision {said(revision)}"
    return (
        f"{named} is not on this machine as a whole, and the hub cannot be reached or fails: check the network, "
        "HF_ENDPOINT and HF_HUB_OFFLINE, or try again later"
    )


def _line(error: Exception, name: str, revision: str | None) -> str:
    if isinstance(error, GatedRepoError):
        return f"{name} is gated: accept its terms on its page on the hub, and {_LOG_IN}"
    if isinstance(error, RevisionNotFoundError):
        return f"{name} has no revision {said(revision)}: its page on the hub lists them; name one with --revision"
    if isinstance(error, RepositoryNotFoundError):
        return f"the hub has no model {name}, or it is private: check the name, or {_LOG_IN}"
    if isinstance(error, DisabledRepoError):
        return f"the hub has withdrawn {name}: name another model"
    if isinstance(error, HFValidationError):
        return f"{name} is no hub id: name it as its page on the hub does, such as owner/name"
    if isinstance(error, LocalEntryNotFoundError):
        return not_here(name, revision)
    if isinstance(error, HfHubHTTPError):
        return _refused(name, error.response.status_code)
    if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError | TimeoutError):
        return _unwritten(error.errno)
    return f"the download of {name} ended early ({type(error).__name__}): {_AGAIN}, which keeps what has arrived"


def _refused(name: str, status: int) -> str:
    if status in _STATUSES:
        return _STATUSES[status].format(name=name)
    if status >= 500:
        return f"the hub failed while it sent {name} ({status}): {_AGAIN} later, which keeps what has arrived"
    return f"the hub did not send {name} ({status}): check the name, --revision and HF_ENDPOINT"


def _unwritten(number: int) -> str:
    place = constants.HF_HUB_CACHE
    if number in FULL:
        return f"the disk of {place} takes no more ({os.strerror(number)}): free some, or let HF_HUB_CACHE name another"
    return f"the hub's cache {place} cannot be used ({os.strerror(number)}): let HF_HUB_CACHE name another folder"
