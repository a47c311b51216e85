"""Runs the scripts of docs/openai.md unchanged against a complete installation with the demo models."""

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.servers import up

PAGE = Path(__file__).parents[2] / "docs" / "openai.md"


def test_the_pages_scripts_run_as_they_are(data: Path, tmp_path: Path) -> None:
    script = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))
    with up(data) as running:
        placed = script.replace("http://127.0.0.1:8000", running.wait_ready()).replace("lw-your-key", running.key())
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", placed],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    flagged, *lines = ran.stdout.splitlines()
    assert flagged == "False"
    rows = {row["custom_id"]: row["response"]["body"]["results"][0] for row in map(json.loads, filter(None, lines))}
    assert [rows[f"comment-{number}"]["flagged"] for number in range(2)] == [False, True]
