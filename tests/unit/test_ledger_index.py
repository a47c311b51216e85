"""The docstring of the ledger's package is its index. It names every module of the ledger, and no other."""

import re
from pathlib import Path

from lengthwise import ledger

ROOT = Path(ledger.__file__).parent
_ENTRY = re.compile(r"^ {4}(?:(\w+)/| {2}(\w+)) {2,}\S|^ {4}\S", re.MULTILINE)


def indexed() -> list[str]:
    found, folder = [], ""
    for entry in _ENTRY.finditer(ledger.__doc__ or ""):
        if entry[2]:
            found.append(f"{folder}{entry[2]}")
        else:
            folder = f"{entry[1]}/" if entry[1] else ""
    return found


def test_the_index_names_every_module_in_its_folder() -> None:
    modules = [path.relative_to(ROOT).with_suffix("").as_posix() for path in ROOT.rglob("*.py")]
    assert sorted(indexed()) == sorted(name for name in modules if not name.endswith("__init__"))
