"""Fetches a model from the hub into the hub's local cache: only the files that are used, and never code."""

import glob
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import HfApi, constants, get_session, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from lengthwise.errors import ConfigurationError
from lengthwise.models import hub_cache
from worker.importing import progress, sums
from worker.importing.explained import explained, not_here
from worker.importing.weights.forms import PICKLE

#: What is fetched beside the weights.
_SMALL = (
    *("*.json", "*.txt", "*.model", "*.spm", "*.jinja", "README.md", "LICENSE*"),
    *("additional_chat_templates/*.jinja", "[0-9]_*/config.json", "[0-9]_*/*.safetensors", f"[0-9]_*/{PICKLE}"),
)
#: Weights, the best form first. A repository may hold several forms of the same weights; one of them is fetched.
_WEIGHTS = (
    ("model.safetensors",),
    ("model.safetensors.index.json", "model-*.safetensors"),
    ("adapter_model.safetensors",),
    ("pytorch_model.bin",),
    ("pytorch_model.bin.index.json", "pytorch_model-*.bin"),
)
#: What weights end in.
_LARGE = (".safetensors", ".bin")
#: What other forms of weights end in.
_FOREIGN = (".gguf", ".h5", ".msgpack", ".onnx", ".ot", ".tflite", ".mlmodel", ".nemo", ".pt", ".pth", ".ckpt")
#: The cache needs this much room beside the files: the parts of a download are put together there.
_ROOM_FACTOR = 1.05
_PLAIN_NAME = re.compile(r"((additional_chat_templates|[0-9]_\w+)/)?[^/\\:\x00-\x1f\x7f-\x9f]+")


class Fetched(NamedTuple):
    """A model in the hub's local cache."""

    folder: Path
    #: The commit, which never moves as a branch or a tag may.
    revision: str


def is_hub_id(name: str) -> bool:
    """Whether this can be the id of a repository, such as ``owner/name``."""
    return "/" in name and hub_cache.is_id(name)


def fetch(hub_id: str, revision: str | None = None, refuse: Callable[[Path], None] | None = None) -> Fetched:
    """Fetches what is missing of the model, or finds it in the cache if the hub cannot be reached.

    Progress is shown on standard error. Mirror, token, cache and time-outs are those of ``huggingface_hub``'s own
    variables. A download that is cut goes on where it ended; once it has failed, a later call keeps the files that are
    whole. ``refuse`` looks at the folder when it has all small files, and no weights yet that were not there before: it
    raises ``ConfigurationError`` for a model that is not wanted. Raises ``ConfigurationError``.
    """
    with explained(hub_id, revision):
        _limit_waiting()
        known = None if constants.HF_HUB_OFFLINE else _asked(hub_id, revision)
        folder = _cached(hub_id, revision) if known is None else _downloaded(hub_id, revision, *known, refuse)
    return Fetched(folder, folder.name)


def _limit_waiting() -> None:
    """Gives every request a limit of time: some of ``huggingface_hub``'s would wait for a silent hub for ever."""
    hooks = get_session().event_hooks["request"]
    if _limit not in hooks:
        hooks.append(_limit)


def _limit(request: Any) -> None:
    progress.refuse_interrupted()  # before a request is sent again
    waits = request.extensions.get("timeout", {})
    limit = constants.HF_HUB_DOWNLOAD_TIMEOUT
    request.extensions["timeout"] = {name: limit if wait is None else wait for name, wait in waits.items()}


def _asked(hub_id: str, revision: str | None) -> tuple[str | None, dict[str, int]] | None:
    """The commit and the files of the repository, with their sizes in bytes.

    None if the hub cannot be reached or is down.
    """
    try:
        found = HfApi().model_info(hub_id, revision=revision, files_metadata=True)
    except HFValidationError:
        raise
    except HfHubHTTPError as error:
        if error.response.status_code < 500:
            raise
        return None
    except Exception:  # which HTTP library raises what depends on the version of huggingface_hub
        return None
    return found.sha, {each.rfilename: each.size or 0 for each in found.siblings or ()}


def _downloaded(
    hub_id: str,
    revision: str | None,
    commit: str | None,
    sizes: dict[str, int],
    refuse: Callable[[Path], None] | None,
) -> Path:
    wanted = _wanted(hub_id, sizes)
    missing = [name for name in wanted if not isinstance(try_to_load_from_cache(hub_id, name, revision=commit), str)]
    _refuse_full_disk(hub_id, sum(sizes[name] for name in missing))
    large = [name for name in wanted if name.endswith(_LARGE)]
    folder = _snapshot(hub_id, revision, [name for name in wanted if name not in large])
    if refuse is not None:
        refuse(folder)
    return _snapshot(hub_id, revision, large) if large else folder


def _snapshot(hub_id: str, revision: str | None, names: Sequence[str]) -> Path:
    patterns = [glob.escape(name) for name in names]
    found = progress.run(
        lambda bar: snapshot_download(hub_id, revision=revision, allow_patterns=patterns, tqdm_class=bar)
    )
    for name in names:
        sums.refuse_damaged(Path(found), name)
    return Path(found)


def _cached(hub_id: str, revision: str | None) -> Path:
    """The folder in the cache. Raises ``ConfigurationError`` if it lacks weights or small files of the repository."""
    found = snapshot_download(
        hub_id, revision=revision, allow_patterns=list(_SMALL), ignore_patterns=["*/*"], local_files_only=True
    )
    folder = Path(found)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    has_weights = any(form[0] in names for form in _WEIGHTS)
    if not has_weights or hub_cache.folder(hub_id, revision) is None:  # which also looks into folders
        raise ConfigurationError(not_here(hub_id, revision))
    return folder


def _wanted(hub_id: str, names: Iterable[str]) -> list[str]:
    """The files to fetch. Raises ``ConfigurationError`` if the repository has no weights in a form that is read."""
    names = list(names)
    if not {"config.json", "adapter_config.json"} & set(names) and not any(name.endswith(".gguf") for name in names):
        raise ConfigurationError(f"{hub_id} has no config.json, so it is no model in transformers' form: name another")
    form = next((each for each in _WEIGHTS if each[0] in names), None)
    if form is not None:
        used = [name for name in names if any(fnmatch(name, each) for each in (*_SMALL, *form)) and _is_used(name)]
        return [name for name in used if "/" not in name or not _is_surplus(name, names)]
    others = sorted({suffix for name in names if (suffix := Path(name).suffix) in _FOREIGN})
    if ".gguf" in others:
        raise ConfigurationError(
            f"{hub_id} has its weights as .gguf only: fetch one of the files (hf download {hub_id} FILE), and add that"
        )
    what = f"only weights of other frameworks ({', '.join(others)})" if others else "no weights"
    raise ConfigurationError(f"{hub_id} has {what}: name a repository with safetensors or pytorch_model.bin")


def _is_used(name: str) -> bool:
    """Whether lengthwise reads it: ``fnmatch`` lets ``*`` stand for folders too, and those of others are large.

    Strangers chose the names. None that leads out of the repository's folder is used.
    """
    return _PLAIN_NAME.fullmatch(name) is not None


def _is_surplus(name: str, names: Iterable[str]) -> bool:
    """Whether it is a layer's pickled weights, which are safetensors beside that."""
    folder, _, file = name.rpartition("/")
    return file == PICKLE and f"{folder}/model.safetensors" in names


def _refuse_full_disk(hub_id: str, n_bytes: int) -> None:
    place = Path(constants.HF_HUB_CACHE)
    existing = next(each for each in (place, *place.absolute().parents) if each.exists())
    free = shutil.disk_usage(existing).free
    if n_bytes * _ROOM_FACTOR > free:
        raise ConfigurationError(
            f"{hub_id} needs {n_bytes / 1e9:.1f} GB, and {place} has {free / 1e9:.1f} GB left: "
            "free some, or let HF_HUB_CACHE name another disk"
        )
