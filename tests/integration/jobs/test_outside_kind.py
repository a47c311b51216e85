"""A kind of another package, from the command line to its results, in processes that find it on their search path."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import caller
from tests import servers as real
from tests.fakes import write_catalog
from tests.kind_package import write_kind


@pytest.fixture(scope="module")
def running(servers: real.Urls) -> Iterator[dict[str, str]]:
    """Starts ``lengthwise up`` with such a package. Yields the environment for it and for commands that call it."""
    with real.reachable_folder() as folder, servers.fresh_database() as database:
        models = write_catalog(folder)
        models.write_text(models.read_text() + '[models.echo.sing]\nmark = "?"\n')
        environment = {
            **caller.VARIABLES,
            "PYTHONPATH": str(write_kind(folder / "site")),
            "LENGTHWISE_MODELS": str(models),
            "LENGTHWISE_MASTER_KEY": real.MASTER_KEY,
            real.DATABASE_VARIABLE: database,
            real.REDIS_VARIABLE: servers.redis,
        }
        with real.up(folder / "data", environment=environment) as started:
            yield environment | {"LENGTHWISE_URL": started.wait_ready(), "LENGTHWISE_API_KEY": caller.KEY}


def lengthwise(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "lengthwise", *arguments]
    wide = {"COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(
        command, env={**os.environ, **environment, **wide}, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_job_of_an_outside_kind_runs_from_the_command_line_to_its_results(
    running: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "in.txt").write_text("abc\nde fg\n")
    out = tmp_path / "out.ndjson"
    ran = lengthwise(
        running, "submit", str(tmp_path / "in.txt"), "--kind", "sing", "--mood", " so glad", "-o", str(out)
    )
    assert ran.returncode == 0, ran.stderr
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["output"] for line in lines] == [{"text": "CBA? so glad"}, {"text": "GF ED? so glad"}]
    assert [line["status"] for line in lines] == ["succeeded", "succeeded"]


def test_the_warnings_of_an_outside_kind_reach_the_results_the_job_and_the_exit_code(
    running: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "in.ndjson").write_text('"LOUD"\n"soft"\n" "\n"ALSO LOUD"\n')
    out = tmp_path / "out.ndjson"
    arguments = ["submit", str(tmp_path / "in.ndjson"), "--kind", "sing", "-o", str(out), "--json"]
    ran = lengthwise(running, *arguments, "--fail-on-warnings")
    assert ran.returncode == 4, ran.stderr
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line.get("warnings") for line in lines] == [["loud"], None, ["blank"], ["loud"]]
    assert json.loads(ran.stdout)["warnings"] == {"loud": 2, "blank": 1}
    assert "2 loud\n" in ran.stderr
    assert "1 blank: the text is blank" in ran.stderr
    assert lengthwise(running, *arguments, "--force").returncode == 0


def test_the_command_line_explains_an_outside_kind(running: dict[str, str]) -> None:
    explained = lengthwise(running, "submit", "--help").stdout
    assert "sing says a text in upper case" in explained
    assert "Of sing: what stands behind each text." in explained
    assert "Of translate: the texts' language." in explained


def test_the_api_documents_an_outside_kind_and_accepts_its_example(running: dict[str, str]) -> None:
    with httpx.Client(base_url=running["LENGTHWISE_URL"], headers=caller.bearer()) as client:
        document: dict[str, Any] = client.get("/openapi.json").json()
        form = document["components"]["schemas"]["SingJob"]
        assert {"kind", "items", "mood", "priority"} <= form["properties"].keys()
        content = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
        assert {"$ref": "#/components/schemas/SingJob"} in content["schema"]["oneOf"]
        example = content["examples"]["sing"]["value"]
        assert example == {"kind": "sing", "mood": "glad", "items": ["hello"]}
        job = client.post("/v1/jobs", json=example).json()
        client.get(job["links"]["self"], params={"wait": 30})
        results = client.get(job["links"]["results"]).json()
        assert results["output"] == {"text": "OLLEH?glad"}
        refused = client.post("/v1/jobs", json={"kind": "sing", "loudness": 1, "items": ["a"]})
        assert (refused.status_code, "mood" in refused.json()["detail"]) == (422, True)
        assert client.get("/v1/models").json()["data"][0]["kinds"] == ["translate", "generate", "sing"]
