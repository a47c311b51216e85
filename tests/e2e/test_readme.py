"""Runs every command of the README unchanged, except those that other tests are known to run."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import servers
from tests.caller import bearer

ROOT = Path(__file__).parents[2]

#: Commands that run elsewhere, and where.
ELSEWHERE = {
    "make demo": "test_demo",
    "make test": "this very run",
    ".venv/bin/lengthwise up": "the stack that the commands below talk to",
    'export AUTH="authorization: Bearer $(cat .lengthwise/admin.key)"': "here, with the key of that stack",
    "export LENGTHWISE_API_KEY=$(cat .lengthwise/admin.key)": "here, with the key of that stack",
    'curl -s -X POST http://127.0.0.1:8000/v1/jobs/$JOB/retry -H "$AUTH"': "test_retry, with items that failed",
    "docker compose up": "make test-compose",
    "export LENGTHWISE_DATABASE_URL=postgresql://user:password@host/lengthwise": "test_parts, with servers of its own",
    "export LENGTHWISE_REDIS_URL=redis://host:6379/0": "test_parts, likewise",
    "export LENGTHWISE_ADMIN_KEY=... LENGTHWISE_KEY_PEPPER=... LENGTHWISE_MASTER_KEY=...": "test_parts, likewise",
    "lengthwise migrate": "test_parts",
    "lengthwise api --host 0.0.0.0": "test_parts",
    "lengthwise worker --queues generate": "test_parts",
    "lengthwise worker --queues deliver": "test_parts",
}


def shell_blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.S | re.M)


def commands_to_run() -> list[str]:
    return [block for block in shell_blocks() if not all(line in ELSEWHERE for line in block.splitlines())]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's requests are made with curl")
def test_every_command_of_the_readme_works(data: Path, tmp_path: Path) -> None:
    with servers.up(data) as up:
        url = up.wait_ready()
        environment = os.environ | {
            "JOB": "none",
            "AUTH": f"authorization: Bearer {up.key()}",
            "LENGTHWISE_URL": url,
            "LENGTHWISE_API_KEY": up.key(),
        }
        for block in commands_to_run():
            script = block.replace("http://127.0.0.1:8000", url).replace("curl -s", "curl -sS --fail-with-body")
            script = script.replace(" models/", f" {tmp_path}/").replace("-o translated", f"-o {tmp_path}/translated")
            ran = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert ran.returncode == 0, f"{block}\n{ran.stdout}\n{ran.stderr}"
            if '"object":"job"' in ran.stdout and environment["JOB"] == "none":
                environment["JOB"] = json.loads(ran.stdout)["id"]
                wait_until_done(url, environment["JOB"], up.key())
        assert environment["JOB"] != "none"


def wait_until_done(url: str, job_id: str, key: str) -> None:
    import httpx

    with httpx.Client(base_url=url, headers=bearer(key)) as client:
        servers.wait_until(lambda: client.get(f"/v1/jobs/{job_id}").json()["finished_at"] is not None, 60)


def test_the_result_shown_in_the_readme_has_the_form_of_a_result() -> None:
    (shown,) = re.findall(r"^```json\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.S | re.M)
    assert set(json.loads(shown)) == {"index", "id", "status", "output", "usage", "model_revision", "metadata"}


def test_every_file_the_documentation_links_to_exists() -> None:
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
