"""OUT of ``lengthwise submit`` and ``results``: no file is replaced unasked, and none is ever half written."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from lengthwise.cli import watch
from lengthwise.formats import csv_lines
from tests.integration.client.test_client import n_jobs, url
from tests.integration.client.test_commands import FILES, TEXTS, run, working
from tests.integration.conftest import RunWorker, submit

__all__ = ["url", "working"]

CATALOGUE = b'"abc"\n"de fg"\n'


@pytest.fixture(autouse=True)
def here(url: str, api_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the commands run."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.setenv("LENGTHWISE_URL", url)
    monkeypatch.setenv("LENGTHWISE_API_KEY", api_key)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def catalogue(here: Path) -> Path:
    path = here / "in.ndjson"
    path.write_bytes(CATALOGUE)
    return path


def another_name(catalogue: Path, way: str) -> tuple[str, str]:
    """FILE and OUT, two names of the catalogue."""
    other = catalogue.with_name("other.ndjson")
    match way:
        case "the same name":
            return "in.ndjson", "in.ndjson"
        case "an absolute path":
            return "in.ndjson", str(catalogue)
        case "a path with dots":
            return str(catalogue), "./x/../in.ndjson"
        case "a symbolic link as OUT":
            other.symlink_to(catalogue)
            return "in.ndjson", "other.ndjson"
        case "a symbolic link as FILE":
            other.symlink_to(catalogue)
            return "other.ndjson", "in.ndjson"
        case "a hard link":
            other.hardlink_to(catalogue)
            return "in.ndjson", "other.ndjson"
        case "a link to the folder":
            catalogue.with_name("folder").symlink_to(catalogue.parent, target_is_directory=True)
            return "in.ndjson", "folder/in.ndjson"
    raise AssertionError(way)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    "way",
    [
        "the same name",
        "an absolute path",
        "a path with dots",
        "a symbolic link as OUT",
        "a symbolic link as FILE",
        "a hard link",
        "a link to the folder",
    ],
)
def test_the_file_that_is_submitted_is_never_out(catalogue: Path, way: str, force: bool) -> None:
    catalogue.with_name("x").mkdir()
    file, out = another_name(catalogue, way)
    ran = run("submit", file, "--kind", "generate", "-o", out, *(["--force"] if force else []), code=2)
    assert "is the file that is submitted" in ran.stderr
    assert (catalogue.read_bytes(), n_jobs()) == (CATALOGUE, 0)


def test_a_file_that_is_redirected_to_stdin_is_never_out(catalogue: Path) -> None:
    command = [sys.executable, "-P", "-m", "lengthwise", "submit", "-", "--kind", "generate", "-o", "in.ndjson", "-f"]
    with catalogue.open("rb") as stdin:
        ran = subprocess.run(command, stdin=stdin, capture_output=True, text=True, check=False)
    assert (ran.returncode, "is the file that is submitted" in ran.stderr) == (2, True)
    assert (catalogue.read_bytes(), n_jobs()) == (CATALOGUE, 0)


def test_the_download_of_out_never_overwrites_the_file_that_is_submitted(here: Path) -> None:
    (here / "in.csv.part").write_bytes(CATALOGUE)
    run("submit", "in.csv.part", "--format", "ndjson", "--kind", "generate", "-o", "in.csv", code=2)
    assert ((here / "in.csv.part").read_bytes(), n_jobs()) == (CATALOGUE, 0)


@pytest.mark.usefixtures("working")
def test_an_existing_file_is_replaced_only_on_request_and_keeps_its_permissions(here: Path, catalogue: Path) -> None:
    out = here / "out.txt"
    out.write_text("mine\n")
    out.chmod(0o640)
    ran = run("submit", "in.ndjson", "--kind", "generate", "-o", "out.txt", code=2)
    assert "out.txt exists" in ran.stderr and "--force" in ran.stderr
    assert (out.read_text(), n_jobs()) == ("mine\n", 0)
    job = run("submit", "in.ndjson", "--kind", "generate", "--wait").stdout.strip()
    assert "--force" in run("results", job, "-o", "out.txt", code=2).stderr
    assert out.read_text() == "mine\n"
    run("results", job, "-o", "out.txt", "--force")
    assert out.read_text() == "cba\ngf ed\n"
    assert stat.S_IMODE(out.stat().st_mode) == 0o640
    run("submit", "in.ndjson", "--kind", "generate", "-o", "out.txt", "-f")
    assert sorted(path.name for path in here.iterdir()) == ["in.ndjson", "out.txt"]


@pytest.mark.usefixtures("working", "catalogue")
@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_stays_and_its_file_is_written(here: Path, exists: bool) -> None:
    (here / "folder").mkdir()
    real, out = here / "folder" / "real.txt", here / "out.txt"
    out.symlink_to(real)
    if exists:
        real.write_text("mine\n")
    run("submit", "in.ndjson", "--kind", "generate", "-o", "out.txt", *(["--force"] if exists else []))
    assert out.is_symlink()
    assert real.read_text() == "cba\ngf ed\n"
    assert [path.name for path in real.parent.iterdir()] == ["real.txt"]


@pytest.mark.usefixtures("catalogue")
def test_a_folder_or_a_device_is_never_out(here: Path) -> None:
    (here / "out.txt").mkdir()
    os.mkfifo(here / "fifo.txt")
    for out in ("out.txt", "fifo.txt"):
        ran = run("submit", "in.ndjson", "--kind", "generate", "-o", out, "--force", code=2)
        assert "is not a file" in ran.stderr
    assert n_jobs() == 0


@pytest.mark.usefixtures("catalogue")
def test_a_link_that_leads_nowhere_is_never_out(here: Path) -> None:
    (here / "out.txt").symlink_to("again.txt")
    (here / "again.txt").symlink_to("out.txt")
    (here / "gone.txt").symlink_to("no/such/folder.txt")
    for out, said in (("out.txt", "leads nowhere"), ("gone.txt", "is not a folder")):
        assert said in run("submit", "in.ndjson", "--kind", "generate", "-o", out, code=2).stderr
    assert n_jobs() == 0


@pytest.mark.usefixtures("catalogue")
def test_a_folder_that_may_not_be_written_is_said_before_anything_is_sent(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    assert "nothing may be written in" in run("submit", "in.ndjson", "--kind", "generate", "-o", "o.txt", code=2).stderr
    assert n_jobs() == 0


@pytest.mark.usefixtures("catalogue")
@pytest.mark.parametrize("content", ["my notes\n", "[]", "{}\n", '{"job":1}\n', "\udcff"])
def test_a_file_that_only_looks_like_a_download_is_left_alone(here: Path, content: str) -> None:
    part = here / "out.txt.part"
    part.write_text(content, "utf-8", errors="surrogateescape")
    ran = run("submit", "in.ndjson", "--kind", "generate", "-o", "out.txt", "--force", code=2)
    assert "out.txt.part" in ran.stderr and "move it away" in ran.stderr
    assert (part.read_text("utf-8", errors="surrogateescape"), n_jobs()) == (content, 0)


def test_a_file_that_appears_while_the_command_waits_is_not_replaced(
    client: TestClient, run_worker: RunWorker, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = watch.until_ended

    def appearing(job: Any) -> None:
        run_worker()
        (here / "out.txt").write_text("mine\n")
        usual(job)

    monkeypatch.setattr(watch, "until_ended", appearing)
    (here / "in.ndjson").write_bytes(FILES["in.ndjson"])
    assert "out.txt exists" in run("submit", "in.ndjson", "--kind", "generate", "-o", "out.txt", code=2).stderr
    assert (here / "out.txt").read_text() == "mine\n"


@pytest.mark.parametrize("exists", [True, False])
def test_an_error_while_out_is_written_leaves_what_was_there(
    client: TestClient, run_worker: RunWorker, here: Path, monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    job = submit(client, TEXTS)["id"]
    run_worker()
    usual = csv_lines.written
    if exists:
        (here / "out.csv").write_text("mine\n")

    def breaking(*arguments: Any) -> Iterator[bytes]:
        blocks: Iterable[bytes] = usual(*arguments)
        yield next(iter(blocks))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(csv_lines, "written", breaking)
    force = ["--force"] if exists else []
    ran = run("results", job, "-o", "out.csv", *force, code=2)
    assert "No space left" in ran.stderr
    assert f"lengthwise results {job} -o out.csv" in ran.stderr, "the job and how to go on"
    found = {path.name: path.read_text() for path in here.iterdir()}
    assert found.pop("out.csv.part").startswith('{"job":')
    assert found == ({"out.csv": "mine\n"} if exists else {})
    monkeypatch.setattr(csv_lines, "written", usual)
    run("results", job, "-o", "out.csv", *force)
    assert [path.name for path in here.iterdir()] == ["out.csv"]


@pytest.mark.usefixtures("working", "catalogue")
def test_a_dash_as_out_is_stdout(here: Path) -> None:
    ran = run("submit", "in.ndjson", "--kind", "generate", "-o", "-", "--json")
    assert [json.loads(line)["output"]["text"] for line in ran.stdout.splitlines()] == ["cba", "gf ed"]
    job = json.loads(run("jobs", "--json").stdout)[0]["id"]
    assert run("results", job, "-o", "-").stdout == run("results", job).stdout == ran.stdout
    assert [path.name for path in here.iterdir()] == ["in.ndjson"]


@pytest.mark.usefixtures("working")
@pytest.mark.parametrize(
    ("items", "arguments", "code"),
    [
        (b'"a"\n" "\n', ["--wait"], 0),
        (b'"a"\n" "\n', ["--fail-on-warnings"], 4),
        (b'"a"\n" "\n', ["--wait", "--fail-on-warnings"], 4),
        (b'"a"\n" "\n', ["-o", "out.csv", "--fail-on-warnings"], 4),
        (b'"a"\n"b"\n', ["--fail-on-warnings"], 0),
        (b'"a"\n" "\n"' + b"x" * 600 + b'"\n', ["--fail-on-warnings"], 1),
    ],
)
def test_fail_on_warnings_waits_and_is_an_exit_code_of_its_own(items: bytes, arguments: list[str], code: int) -> None:
    ran = run("submit", "-", "--kind", "generate", *arguments, input=items, code=code)
    job = json.loads(run("jobs", "--json").stdout)[0]
    warned = {"blank": 1} if b'" "' in items else {}
    assert (job["state"], job["warnings"]) == ("completed", warned)
    assert ("warning: 1 blank: the text is blank" in ran.stderr) is bool(warned)
    assert ("(1 blank), and --fail-on-warnings" in ran.stderr) is (code == 4)
    assert run("results", job["id"], *(arguments[-1:] if code else []), code=code).stdout
    for command in (["status", job["id"]], ["jobs"]):
        assert ("1 blank" in run(*command).stdout) is bool(warned)
