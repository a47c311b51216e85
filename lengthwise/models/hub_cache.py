"""Models of the hub in this machine's cache. Downloads nothing."""

from pathlib import Path

from lengthwise.models import model_file

#: What must be there of a repository's files. Weights need not: the API's machine does without them, and a machine with
#: workers looks for them itself. Other files are for other programs, and ``lengthwise model add`` leaves them out.
_NEEDED = (*model_file.NAMES, f"{model_file.TEMPLATES}/*.jinja")


def is_id(name: str) -> bool:
    """Whether this can be the id of a repository, such as ``owner/name``; some old ones have no owner."""
    from huggingface_hub.errors import HFValidationError  # which is not installed where only the command line is
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def folder(hub_id: str, revision: str | None) -> Path | None:
    """The folder of this revision, by default of ``main``.

    None if it is not in the cache, if this is no id, or if a download has ended before all small files that are read
    were there.
    """
    if not is_id(hub_id):
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = snapshot_download(hub_id, revision=revision, allow_patterns=list(_NEEDED), local_files_only=True)
    except LocalEntryNotFoundError:
        return None
    return Path(found)
