"""One revision of a repository, as a hub describes its files: sizes, sums and the commit."""

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

#: What a hub keeps beside git (LFS) and serves from another address.
_LARGE = (".safetensors", ".bin", ".gguf", ".pt", ".model", ".spm")


@dataclass(frozen=True)
class HubFile:
    """A file of a repository. ``path`` is where it lies here, ``name`` its path in the repository."""

    name: str
    path: Path

    @property
    def is_large(self) -> bool:
        return self.name.endswith(_LARGE)

    @cached_property
    def size(self) -> int:
        return self.path.stat().st_size

    @cached_property
    def sha256(self) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @cached_property
    def git_sum(self) -> str:
        """Git's own sum of the file, or of the pointer that stands for a large one."""
        content = f"version 1\noid sha256:{self.sha256}\n".encode() if self.is_large else self.path.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_large else self.git_sum

    def entry(self) -> dict[str, Any]:
        """As the listing of a repository's files shows it."""
        found: dict[str, Any] = {"type": "file", "oid": self.git_sum, "size": self.size, "path": self.name}
        if self.is_large:
            found["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": 130}
        return found

    def sibling(self, has_size: bool) -> dict[str, Any]:
        """As the description of a repository names it."""
        found: dict[str, Any] = {"rfilename": self.name}
        if not has_size:
            return found
        found |= {"blobId": self.git_sum, "size": self.size}
        if self.is_large:
            found["lfs"] = {"sha256": self.sha256, "size": self.size, "pointerSize": 130}
        return found


@dataclass(frozen=True)
class Snapshot:
    """The files of ``folder``, which must not change while it is served."""

    folder: Path

    @cached_property
    def files(self) -> dict[str, HubFile]:
        paths = sorted(path for path in self.folder.rglob("*") if path.is_file())
        names = [path.relative_to(self.folder).as_posix() for path in paths]
        return {name: HubFile(name, path) for name, path in zip(names, paths, strict=True)}

    @cached_property
    def licence(self) -> str | None:
        """What the front matter of ``README.md`` names."""
        card = self.files.get("README.md")
        found = re.search(r"^license: (\S+)$", card.path.read_text("utf-8"), re.MULTILINE) if card else None
        return found[1] if found else None

    @cached_property
    def commit(self) -> str:
        """Forty hexadecimal digits that change with any file."""
        lines = "".join(f"{name} {file.git_sum}\n" for name, file in self.files.items())
        return hashlib.sha1(lines.encode(), usedforsecurity=False).hexdigest()
