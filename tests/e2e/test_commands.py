"""The commands as separate processes, and the catalogue example, on ``lengthwise up`` with the demo models."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import servers

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with servers.reachable_folder() as folder, servers.up(folder / "data") as running:
        # The API key, if the first start made one.
        key = running.data / "admin.key"
        with pytest.MonkeyPatch.context() as patch:
            if key.exists():
                patch.setenv("LENGTHWISE_API_KEY", key.read_text().strip())
            found = running.wait_ready()
            patch.setenv("LENGTHWISE_URL", found)
            yield found


def lengthwise(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "lengthwise", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran


def test_a_file_is_translated_by_one_command(url: str, tmp_path: Path) -> None:
    texts, out = tmp_path / "texts.txt", tmp_path / "out.csv"
    texts.write_text("我吃了一个苹果。\n你好！\n", "utf-8")
    ran = lengthwise(
        "submit", str(texts), "--kind", "translate", "--from", "zh", "--to", "en", "--wait", "-o", str(out)
    )
    assert ran.stdout == ""
    assert "\x1b" not in ran.stderr, "no colours, because the output is not a terminal"
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["output.text"] == "I ate an apple."
    assert len(rows) == 2


def test_ctrl_c_leaves_the_job_and_says_how_to_come_back(url: str, tmp_path: Path) -> None:
    lines = (ROOT / "examples" / "translate.ndjson").read_text("utf-8").splitlines()
    # So many items that the job is still running when it is interrupted.
    items = [json.loads(line)["text"] + f"{at}" for at in range(200) for line in lines]
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(items), "utf-8")
    options = ["--kind", "translate", "--from", "zh", "--to", "en", "--wait"]
    command = [sys.executable, "-P", "-m", "lengthwise", "submit", str(texts), *options]
    # A suite in the background ignores SIGINT, and its child processes would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
        signal.signal(signal.SIGINT, before)
        try:
            servers.wait_until(lambda: [job for job in _jobs() if job["counts"]["total"] == len(items)])
            time.sleep(0.5)  # the command still reads the submission's answer
            waiting.send_signal(signal.SIGINT)
            _, said = waiting.communicate(timeout=60)
        finally:
            waiting.kill()
    (job,) = [job for job in _jobs() if job["counts"]["total"] == len(items)]
    assert waiting.returncode == 130, said
    assert f"lengthwise results {job['id']} --wait" in said
    assert job["state"] in ("queued", "running")
    lengthwise("cancel", job["id"])
    assert "cancelled" in lengthwise("status", job["id"], "--watch", code=1).stdout


def _jobs() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(lengthwise("jobs", "--json").stdout)
    return found


def test_a_server_that_is_away_is_exit_code_3(url: str) -> None:
    ran = lengthwise("jobs", "--url", "http://127.0.0.1:9", code=3)
    assert ran.stdout == ""
    assert [ran.stderr.count("\n"), ran.stderr.count("trying again for up to 3 s")] == [2, 1]
    assert "lengthwise up" in ran.stderr


def test_a_catalogue_is_translated_row_by_row(url: str, tmp_path: Path) -> None:
    source, target = ROOT / "examples" / "catalogue.csv", tmp_path / "translated.csv"
    command = [sys.executable, "-m", "examples.catalogue", str(source), str(target), "--columns", "name", "description"]
    for _ in range(2):  # the second run finds the first run's job
        ran = subprocess.run(
            command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=120, check=False
        )
        assert ran.returncode == 0, ran.stderr
    before, after = (list(csv.DictReader(path.read_text("utf-8").splitlines())) for path in (source, target))
    assert [{name: row[name] for name in before[0]} for row in after] == before
    apple = next(row for row in after if row["name"] == "我吃了一个苹果。")
    assert apple["name_en"] == "I ate an apple."
    assert all(row["name_en"] and row["description_en"] for row in after)
    assert len([job for job in _jobs() if job["counts"]["total"] == 80]) == 1
