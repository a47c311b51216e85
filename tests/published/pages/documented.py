"""The examples of docs/models.md and docs/shrinking.md, as tests take them from the pages and run them."""

import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]
PAGES = ("docs/models.md", "docs/shrinking.md")

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
#: ``[models.NAME]``, which begins a model, and no table below it.
_MODEL = re.compile(r"\[models\.([\w-]+)\]")
#: A command in a comment of ``models.toml``.
_COMMAND = re.compile(r"# ((?:lengthwise|hf) .+)")
#: The commands as this installation has them, whatever the search path is.
_COMMANDS = f"""
lengthwise() {{ "{sys.executable}" -P -m lengthwise "$@"; }}
hf() {{ "{sys.executable}" -P -m huggingface_hub.cli.hf "$@"; }}
"""


class ShownBlock(NamedTuple):
    """A fenced block. ``language`` is what stands behind its fence."""

    page: str
    language: str
    text: str

    @property
    def first_line(self) -> str:
        return self.text.partition("\n")[0]


def blocks(page: str) -> list[ShownBlock]:
    text = (ROOT / page).read_text("utf-8")
    return [ShownBlock(page, language, textwrap.dedent(block)) for _, language, block in _BLOCK.findall(text)]


def block(first_line: str) -> str:
    """The text of the one block that begins with this line."""
    [found] = [each for page in PAGES for each in blocks(page) if each.first_line == first_line]
    return found.text


def models(text: str) -> dict[str, str]:
    """The part of a ``models.toml`` for each model, with the comments before it."""
    found: dict[str, str] = {}
    comments: list[str] = []
    name = ""
    for line in text.splitlines(keepends=True):
        if begun := _MODEL.match(line):
            name = begun[1]
            found[name], comments = "".join(comments), []
        if line.startswith("#"):
            comments.append(line)
        elif name:
            found[name] += line
    assert found.keys() == tomllib.loads(text)["models"].keys()
    return found


def commands(text: str) -> list[str]:
    """The commands that the comments name."""
    return [match[1] for line in text.splitlines() if (match := _COMMAND.fullmatch(line))]


def run(script: str, folder: Path, environment: dict[str, str], *, seconds: int = 240) -> str:
    """Runs shell commands in ``folder``, and returns what they write to standard output. Each must succeed."""
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", _COMMANDS + script],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, f"{script}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout
