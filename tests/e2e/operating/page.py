"""The commands of docs/operating.md, as tests take them from the page and run them."""

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from lengthwise.local.embedded import postgres

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "operating.md"

_BLOCK = re.compile(r"^( *)```sh\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
#: The command as this installation has it, whatever the search path is.
_COMMANDS = f"""
lengthwise() {{ "{sys.executable}" -P -m lengthwise "$@"; }}
"""


def blocks() -> list[str]:
    """Each block of commands on the page."""
    return [textwrap.dedent(block) for _, block in _BLOCK.findall(PAGE.read_text("utf-8"))]


def block(beginning: str) -> str:
    """The only block that begins with this."""
    [found] = [block for block in blocks() if block.startswith(beginning)]
    return found


def run(script: str, environment: Mapping[str, str], folder: Path = ROOT) -> str:
    """Runs commands of the page in a shell that ends at the first failure. Returns what they said."""
    programs = f"{postgres.installation() / 'bin'}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", _COMMANDS + script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment, "PATH": programs},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, f"{script}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout + ran.stderr
