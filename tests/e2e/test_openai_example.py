"""Runs the example OpenAI script against a complete installation; only OpenAI's two variables are set."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.caller import bearer
from tests.servers import Up, up

ROOT = Path(__file__).parents[2]
COMMENTS = (ROOT / "examples" / "moderate.ndjson").read_text("utf-8")
#: Names at which a reader of lines might cut.
CUTTING = [f"a{separator}b" for separator in "\x85\u2028\u2029"]


def switched_over(running: Up, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {"OPENAI_BASE_URL": running.wait_ready() + "/v1", "OPENAI_API_KEY": running.key()}
    return subprocess.run(
        [sys.executable, "-m", "examples.openai_batch", *arguments],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.timeout(240)
def test_a_script_for_openai_runs_here_when_two_variables_say_so(data: Path, tmp_path: Path) -> None:
    target, bad, comments = tmp_path / "flagged.csv", tmp_path / "bad.ndjson", tmp_path / "comments.ndjson"
    threats = [{"id": name, "text": "I will find you and hurt you."} for name in CUTTING]
    more = "".join(json.dumps(threat, ensure_ascii=False) + "\n" for threat in threats)
    comments.write_text(COMMENTS + more, "utf-8-sig")
    bad.write_text('{"id": "same", "text": "a"}\n{"id": "same", "text": "b"}\n')
    with up(data) as running:
        ran = switched_over(running, str(comments), str(target), "--model", "demo-moderate")
        native = httpx.post(
            running.wait_ready() + "/v1/jobs",
            content='{"kind":"moderate"}\n' + comments.read_text("utf-8"),
            headers={"content-type": "application/x-ndjson"} | bearer(running.key()),
        ).json()
        results = httpx.get(
            f"{running.wait_ready()}/v1/jobs/{native['id']}/results?wait=60",
            headers=bearer(running.key()),
            timeout=90,
        )
        refused = switched_over(running, str(bad), str(tmp_path / "none.csv"), "--model", "demo-moderate")
    assert ran.returncode == 0, ran.stderr
    with target.open(newline="") as file:
        flagged = {row["id"]: row["categories"] for row in csv.DictReader(file)}
    lines = [json.loads(line) for line in results.text.splitlines()]
    assert sorted(flagged) == sorted(line["id"] for line in lines if line["output"]["flagged"])
    assert any(flagged.values())
    assert set(CUTTING) <= flagged.keys()
    assert refused.returncode == 1
    assert "line 2: duplicate_custom_id" in refused.stderr
