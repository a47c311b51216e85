"""The commands that talk to an API, through Typer's runner and real connections."""

import gzip
import io
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer
import zstandard
from starlette.testclient import TestClient
from typer.testing import CliRunner, Result

from lengthwise import json_line
from lengthwise.cli import connection, output, watch
from lengthwise.cli.main import app
from lengthwise.client import ConflictError
from tests.integration.client.test_client import url
from tests.integration.conftest import RunWorker, read_job, submit
from tests.integration.wire import Cut, cutting

__all__ = ["url"]


@pytest.fixture(autouse=True)
def here(url: str, api_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LENGTHWISE_URL", url)
    monkeypatch.setenv("LENGTHWISE_API_KEY", api_key)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def working(run_worker: RunWorker) -> Iterator[None]:
    """A worker that runs all jobs until the test ends."""
    stopped = threading.Event()

    def work() -> None:
        while not stopped.wait(0.05):
            run_worker()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stopped.set()
    thread.join()


def run(*arguments: str, code: int = 0, **options: Any) -> Result:
    ran = CliRunner().invoke(app, list(arguments), **options)
    assert ran.exit_code == code, ran.output
    return ran


TEXTS = ["abc", "de fg", "x, \"y\"; 'z'"]
CSV = 'sku,title,price\r\n1,abc,3\r\n2,de fg,4\r\n3,"x, ""y""; \'z\'",5\r\n'
FILES = {
    "in.txt": "\n".join(TEXTS).encode(),
    "in.ndjson": b"".join(json.dumps({"text": text}).encode() + b"\n" for text in TEXTS),
    "in.jsonl": b"\xef\xbb\xbf" + b"".join(json.dumps(text).encode() + b"\r\n" for text in TEXTS),
    "in.jsonl.gz": gzip.compress(b"".join(json.dumps(text).encode() + b"\n" for text in TEXTS)),
    "in.csv": CSV.encode(),
    "in.csv.zst": zstandard.compress(b"\xef\xbb\xbf" + CSV.encode()),
}


@pytest.mark.usefixtures("working")
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_any_format_is_submitted_and_its_results_are_written(here: Path, name: str) -> None:
    (here / name).write_bytes(FILES[name])
    columns = ["--column", "title", "--id-column", "sku", "--metadata-column", "price"] if "csv" in name else []
    ran = run("submit", name, "--kind", "generate", *columns, "-o", "out.ndjson", "--json")
    job = json.loads(ran.stdout)
    assert job["state"] == "completed"
    lines = [json.loads(line) for line in (here / "out.ndjson").read_text().splitlines()]
    assert [line["output"]["text"] for line in lines] == [text[::-1] for text in TEXTS]
    if columns:
        assert [(line["id"], line["metadata"]) for line in lines] == [
            ("1", {"price": "3"}),
            ("2", {"price": "4"}),
            ("3", {"price": "5"}),
        ]
    assert [path.name for path in here.glob("out*")] == ["out.ndjson"]


@pytest.mark.usefixtures("working")
def test_results_have_the_format_of_the_suffix(here: Path) -> None:
    job_id = run("submit", "-", "--kind", "generate", "--wait", input=FILES["in.ndjson"]).stdout.strip()
    for name in ("out.txt", "out.csv", "out.parquet", "out.jsonl.gz", "out.csv.zst"):
        run("results", job_id, "-o", name)
    assert (here / "out.txt").read_text().splitlines() == [text[::-1] for text in TEXTS]
    assert pq.read_table(here / "out.parquet")["output.text"].to_pylist() == [text[::-1] for text in TEXTS]
    assert zstandard.decompress((here / "out.csv.zst").read_bytes(), 10_000) == (here / "out.csv").read_bytes()
    assert gzip.decompress((here / "out.jsonl.gz").read_bytes()).decode() == run("results", job_id).stdout


def test_without_wait_stdout_is_the_jobs_id(here: Path, client: TestClient) -> None:
    (here / "in.txt").write_text("我吃了\n\n一个苹果")
    options = ["--kind", "translate", "--from", "zh", "--to", "en", "--priority", "background", "-p", "beams=2"]
    ran = run("submit", "in.txt", *options, "--deadline", "2099-01-01", code=3)
    assert "deadline" in ran.stderr
    ran = run("submit", "in.txt", *options, "--idempotency-key", "mine")
    job = read_job(client, ran.stdout.strip())
    assert (job["priority"], job["counts"]["total"]) == ("background", 3)
    assert job["params"] == {"source": "zh", "target": "en", "beams": 2, "score": False}
    assert run("submit", "in.txt", *options, "--idempotency-key", "mine").stdout == ran.stdout


def test_failed_items_give_exit_code_1(client: TestClient, run_worker: RunWorker, here: Path) -> None:
    job = submit(client, ["x" * 600, "abc"])
    run_worker()
    for command in (["results", job["id"]], ["results", job["id"], "-o", "out.txt"], ["status", job["id"], "--watch"]):
        run(*command, code=1)
    assert (here / "out.txt").read_text() == "\ncba\n"
    assert "1 failed" in run("status", job["id"]).stdout


def test_jobs_are_listed_shown_cancelled_and_deleted(client: TestClient) -> None:
    job = submit(client, TEXTS)["id"]
    assert json.loads(run("jobs", "--json").stdout)[0]["id"] == job
    assert job in run("jobs").stdout
    assert "queued" in run("status", job).stdout
    assert json.loads(run("cancel", job, "--json").stdout)["state"] == "cancelled"
    assert "no item of the job failed" in run("retry", job, code=3).stderr
    assert json.loads(run("delete", job, "--json").stdout) == {"id": job, "deleted": True}
    assert "`lengthwise jobs` lists" in run("status", job, code=3).stderr
    assert json.loads(run("models", "--json").stdout)[0]["id"] == "echo"
    assert "zh→en" in run("models").stdout


def test_mistakes_and_refusals_have_different_exit_codes(here: Path) -> None:
    (here / "in.doc").write_text("x")
    for arguments, said in {
        ("submit", "nowhere.txt", "--kind", "generate"): "nowhere.txt cannot be read",
        ("submit", "in.doc", "--kind", "generate"): "its suffix must be one of",
        ("submit", "in.doc", "--format", "txt", "--kind", "generate", "-o", "no/out.csv"): "is not a folder",
        ("submit", "in.doc", "--format", "txt", "--kind", "generate", "-p", "x"): "NAME=VALUE",
        ("jobs", "--url", "nonsense"): "must be one such as",
        ("status",): "Missing argument",
    }.items():
        assert said in run(*arguments, code=2).stderr
    refused = run("submit", "in.doc", "--format", "txt", "--kind", "nonsense", code=3)
    assert "unknown kind" in refused.stderr
    assert "lengthwise up" in run("jobs", "--url", "http://127.0.0.1:9", code=3).stderr


def test_ctrl_c_says_how_to_wait_again(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "until_ended", interrupted)
    ran = run("submit", "-", "--kind", "generate", "-o", "out.csv", input=FILES["in.ndjson"], code=130)
    job = json.loads(run("jobs", "--json").stdout)[0]
    assert f"lengthwise results {job['id']} --wait -o out.csv" in ran.stderr
    assert job["state"] == "queued"


def test_an_interrupted_download_is_resumed(
    client: TestClient, run_worker: RunWorker, here: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.jobs.download._PAGE", 20)
    monkeypatch.setattr(connection, "LONG_RETRY_SECONDS", 0.0)
    job = submit(client, [f"{at}" for at in range(300)])["id"]
    run_worker()
    whole = run("results", job).stdout
    (here / "out.ndjson.part").write_text('{"job":"another","has_ended":true}\n{"index":0}\n')
    # On the connection, the answer that describes the job comes first.
    beyond_job = len(client.get(f"/v1/jobs/{job}").content) + 1_000
    n_tries = 1
    while True:
        with cutting(url, [Cut(beyond_job, True)]) as flaky:
            monkeypatch.setenv("LENGTHWISE_URL", flaky)
            ran = CliRunner().invoke(app, ["results", job, "-o", "out.ndjson"])
        if ran.exit_code == 0:
            break
        assert ran.exit_code == 3
        assert f"the job {job} keeps its results" in ran.stderr
        assert not (here / "out.ndjson").exists()
        part = (here / "out.ndjson.part").read_text()
        (here / "out.ndjson.part").write_text(part + '{"index":')  # as if the file had been truncated, too
        n_tries += 1
        assert n_tries < 100, "a try adds nothing to the download"
    assert n_tries > 1
    assert (here / "out.ndjson").read_text() == whole
    assert not (here / "out.ndjson.part").exists()


def test_a_running_job_gives_its_results_so_far_and_says_so(client: TestClient, here: Path) -> None:
    job = submit(client, ["x" * 600, "abc"])["id"]  # the first has failed already
    ran = run("results", job, "-o", "out.csv", code=1)
    assert "1 are still to come" in ran.stderr
    assert (here / "out.csv").read_text().count("\n") == 2


def test_the_lines_of_a_running_job_stand_where_its_items_do(tmp_path: Path) -> None:
    done = {"status": "succeeded", "output": {"text": "b\nb"}, "usage": {"input_tokens": 1, "output_tokens": 1}}
    failed = {"status": "failed", "error": {"code": "too_long", "message": "the text is too long"}}
    lines = [{"index": 1, **done}, {"index": 4, **failed}, {"index": 5, **done}]
    source = io.BytesIO(b"".join(map(json_line.written, lines)))
    output.write(source, tmp_path / "out.txt", force=False)
    assert (tmp_path / "out.txt").read_text() == "\nb b\n\n\n\nb b\n"


def test_the_key_file_is_used_only_for_this_machine(here: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LENGTHWISE_API_KEY")
    (here / ".lengthwise").mkdir()
    (here / ".lengthwise" / "admin.key").write_text("lw-test\n")
    assert connection.local_key(url) == "lw-test"
    assert connection.local_key("http://localhost:1") == "lw-test"
    assert connection.local_key("http://[::1]:1") == "lw-test"
    assert connection.local_key("https://example.com") is None
    assert connection.local_key("http://127.0.0.1.example.com") is None


def test_a_refusal_of_what_was_sent_does_not_point_to_a_job(capsys: pytest.CaptureFixture[str]) -> None:
    problem = {"title": "model unusable", "detail": "model m cannot be served", "field": "model"}
    for refused, is_about_a_job in ((problem, False), ({"title": "conflict", "detail": "the job has ended"}, True)):
        with pytest.raises(typer.Exit), connection.connected("http://127.0.0.1:9", "k"):
            raise ConflictError(409, refused)
        assert ("lengthwise status" in capsys.readouterr().err) == is_about_a_job


def test_a_job_is_found_by_its_name_and_its_tags(here: Path) -> None:
    (here / "in.txt").write_text("abc")
    named = ("submit", "in.txt", "--kind", "generate", "--name", "nightly 7", "--tag", "a", "--tag", "b")
    job = run(*named).stdout.strip()
    run("submit", "in.txt", "--kind", "generate")
    found = json.loads(run("jobs", "--tag", "b", "--name", "nightly", "--json").stdout)
    assert [(each["id"], each["name"], each["tags"], each["source_file"]) for each in found] == [
        (job, "nightly 7", ["a", "b"], "in.txt")
    ]
    assert json.loads(run("jobs", "--tag", "c", "--json").stdout) == []
    assert len(json.loads(run("jobs", "--state", "queued", "--json").stdout)) == 2
    assert "nightly 7" in run("jobs").stdout


def test_status_says_why_a_job_is_not_done(client: TestClient, run_worker: RunWorker) -> None:
    job = submit(client, ["abc", "x" * 600])["id"]
    waiting = " ".join(run("status", job).stdout.split())
    assert "No generation worker was seen: start one with `lengthwise worker --queues generate`." in waiting
    run_worker()
    ended = " ".join(run("status", job).stdout.split())
    assert "1 item failed" in ended
    assert "1 too_long:" in ended and "first items: 1" in ended


def test_a_file_whose_name_is_no_utf8_is_submitted(here: Path) -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    (here / name).write_text("abc")
    run("submit", name, "--kind", "generate")
    assert json.loads(run("jobs", "--json").stdout)[0]["source_file"] == "caf\ufffd.txt"
