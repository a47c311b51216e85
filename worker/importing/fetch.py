"""Fetches a model from the hub into the hub's local cache: only the files that are used, and never code."""

import errno
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from lengthwise.errors import ConfigurationError

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
#: What is fetched beside the weights.
_SMALL = (
    *("*.json", "*.txt", "*.model", "*.spm", "*.jinja", "README.md", "LICENSE*"),
    *("additional_chat_templates/*.jinja", "[0-9]_*/config.json", "[0-9]_*/*.safetensors"),
)
#: Weights, the best form first. A repository may hold several forms of the same weights; one of them is fetched.
_WEIGHTS = (
    ("model.safetensors",),
    ("model.safetensors.index.json", "model-*.safetensors"),
    ("adapter_model.safetensors",),
    ("pytorch_model.bin",),
    ("pytorch_model.bin.index.json", "pytorch_model-*.bin"),
)
#: What other forms of weights end in.
_FOREIGN = (".gguf", ".h5", ".msgpack", ".onnx", ".ot", ".tflite", ".mlmodel", ".nemo", ".pt", ".pth", ".ckpt")
#: The cache needs this much room beside the files: the parts of a download are put together there.
_ROOM_FACTOR = 1.05


class Fetched(NamedTuple):
    """A model in the hub's local cache."""

    folder: Path
    #: The commit, which never moves as a branch or a tag may.
    revision: str


def is_hub_id(name: str) -> bool:
    """Whether this can be the id of a repository, such as ``owner/name``."""
    return _HUB_ID.fullmatch(name) is not None and ".." not in name and "--" not in name


def fetch(hub_id: str, revision: str | None = None) -> Fetched:
    """Fetches what is missing of the model, or finds it in the cache if the hub cannot be reached.

    Progress is shown on standard error. Mirror, token, cache and time-outs are those of ``huggingface_hub``'s own
    variables. A download that was cut goes on where it ended. Raises ``ConfigurationError``.
    """
    with _explained(hub_id, revision):
        sizes = None if constants.HF_HUB_OFFLINE else _sizes(hub_id, revision)
        if sizes is None:
            found = snapshot_download(hub_id, revision=revision, allow_patterns=list(_SMALL), local_files_only=True)
        else:
            wanted = _wanted(hub_id, sizes)
            _refuse_full_disk(hub_id, sum(sizes[name] for name in wanted))
            found = snapshot_download(hub_id, revision=revision, allow_patterns=wanted)
    folder = Path(found)
    return Fetched(folder, folder.name)


def _sizes(hub_id: str, revision: str | None) -> dict[str, int] | None:
    """The files of the repository with their sizes in bytes; None if the hub cannot be reached or is down."""
    try:
        found = HfApi().model_info(hub_id, revision=revision, files_metadata=True)
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError):
        raise
    except HfHubHTTPError as error:
        if error.response.status_code < 500:
            raise
        return None
    except Exception:  # which HTTP library raises what depends on the version of huggingface_hub
        return None
    return {each.rfilename: each.size or 0 for each in found.siblings or ()}


def _wanted(hub_id: str, names: Iterable[str]) -> list[str]:
    """The files to fetch. Raises ``ConfigurationError`` if the repository has no weights in a form that is read."""
    names = list(names)
    if not {"config.json", "adapter_config.json"} & set(names) and not any(name.endswith(".gguf") for name in names):
        raise ConfigurationError(f"{hub_id} has no config.json, so it is no model in transformers' form: name another")
    for form in _WEIGHTS:
        if any(fnmatch(name, form[0]) for name in names):
            return [name for name in names if any(fnmatch(name, each) for each in (*_SMALL, *form)) and _is_used(name)]
    others = sorted({suffix for name in names if (suffix := Path(name).suffix) in _FOREIGN})
    if ".gguf" in others:
        raise ConfigurationError(
            f"{hub_id} has its weights as .gguf only: fetch one of the files (hf download {hub_id} FILE), and add that"
        )
    what = f"only weights of other frameworks ({', '.join(others)})" if others else "no weights"
    raise ConfigurationError(f"{hub_id} has {what}: name a repository with safetensors or pytorch_model.bin")


def _is_used(name: str) -> bool:
    """Whether lengthwise reads it: ``fnmatch`` lets ``*`` stand for folders too, and those of others are large."""
    return "/" not in name or re.match(r"additional_chat_templates/|[0-9]_[^/]*/[^/]*$", name) is not None


def _refuse_full_disk(hub_id: str, n_bytes: int) -> None:
    place = Path(constants.HF_HUB_CACHE)
    existing = next(each for each in (place, *place.absolute().parents) if each.exists())
    free = shutil.disk_usage(existing).free
    if n_bytes * _ROOM_FACTOR > free:
        raise ConfigurationError(
            f"{hub_id} needs {n_bytes / 1e9:.1f} GB, and {place} has {free / 1e9:.1f} GB left: "
            "free some, or let HF_HUB_CACHE name another disk"
        )


@contextmanager
def _explained(hub_id: str, revision: str | None) -> Iterator[None]:
    """Turns what ``huggingface_hub`` raises into one line that says what mends it."""
    named = hub_id if revision is None else f"{hub_id} at revision {revision}"
    try:
        yield
    except ConfigurationError:
        raise
    except GatedRepoError:
        raise ConfigurationError(
            f"{hub_id} is gated: accept its terms on its page on the hub, and log in (hf auth login, or HF_TOKEN)"
        ) from None
    except RevisionNotFoundError:
        raise ConfigurationError(f"{hub_id} has no revision {revision}: its page on the hub lists them") from None
    except RepositoryNotFoundError:
        raise ConfigurationError(
            f"the hub has no model {hub_id}, or it is private: check the name, or log in (hf auth login, or HF_TOKEN)"
        ) from None
    except HFValidationError:
        raise ConfigurationError(f"{hub_id} is no hub id: it has the form owner/name") from None
    except LocalEntryNotFoundError:
        raise ConfigurationError(
            f"{named} is not on this machine as a whole, and the hub cannot be reached: check the network, HF_ENDPOINT "
            "and HF_HUB_OFFLINE"
        ) from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ConfigurationError(
                f"the disk of {constants.HF_HUB_CACHE} is full: free some, or let HF_HUB_CACHE name another one"
            ) from None
        raise ConfigurationError(_broken(hub_id, error)) from None
    except Exception as error:
        raise ConfigurationError(_broken(hub_id, error)) from None


def _broken(hub_id: str, error: Exception) -> str:
    return f"the download of {hub_id} ended early ({type(error).__name__}): run the command again, and it goes on"
