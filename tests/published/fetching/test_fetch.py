"""``lengthwise model add`` and the hub: whatever goes wrong is one line that says what mends it, nothing half-written
stays, and once the cause is gone the same command succeeds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.published.conftest import point_to
from tests.published.loopback.hub import REVOKED, TOKEN, Hub
from tests.published.small import NAME, WEIGHTS, Refused, assert_fetched, downloads


@pytest.mark.parametrize("token", [None, "hf_of_another"])
def test_a_gated_repository(
    token: str | None, model_hub: Hub, small: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_hub.serve(NAME, small, is_gated=True)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    terms = "accept its terms on its page on the hub, and log in (hf auth login, or HF_TOKEN)"
    assert refused(NAME) == f"{NAME} is gated: {terms}"
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert_fetched(small)


@pytest.mark.parametrize("token", [None, TOKEN])
def test_an_unknown_repository(
    token: str | None, model_hub: Hub, small: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    assert refused(NAME).startswith(f"the hub has no model {NAME}, or it is private: check the name, or log in (")
    model_hub.serve(NAME, small)
    assert_fetched(small)


def test_a_token_that_the_hub_does_not_know(
    model_hub: Hub, small: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_hub.serve(NAME, small)
    monkeypatch.setenv("HF_TOKEN", REVOKED)
    line = refused(NAME)
    assert line.startswith("the hub does not know the token that it was sent: ") and "unset HF_TOKEN" in line
    assert REVOKED not in line
    monkeypatch.delenv("HF_TOKEN")
    assert_fetched(small)


@pytest.mark.parametrize("revision", ["v9", "../main", "a b", "\x1b[2Jv1", "v1\nv2", "\x9b31m", "0" * 40])
def test_an_unknown_revision(revision: str, model_hub: Hub, small: Path, refused: Refused) -> None:
    model_hub.serve(NAME, small)
    line = refused(NAME, "--revision", revision)
    assert NAME in line and "--revision" in line
    assert_fetched(small)


def test_a_cut_download_goes_on_where_it_ended(
    model_hub: Hub, small: Path, catalog: Path, without_pauses: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 4096)
    model_hub.serve(NAME, small)
    model_hub.cut(WEIGHTS, after_bytes=10_000)
    assert_fetched(small)
    assert model_hub.ranges == ["bytes=8192-"]


def test_a_download_that_is_always_cut(model_hub: Hub, small: Path, refused: Refused, without_pauses: None) -> None:
    model_hub.serve(NAME, small)
    model_hub.cut(WEIGHTS, after_bytes=0, times=100)
    line = refused(NAME)
    assert line.startswith(f"the download of {NAME} ended early (")
    assert line.endswith("): run the command again, which keeps what has arrived")
    model_hub.cuts.clear()
    model_hub.requests.clear()
    assert_fetched(small)
    assert len(downloads(model_hub)) == 1, "only the weights are fetched again"


def test_the_line_stands_alone_behind_progress_bars(
    model_hub: Hub, small: Path, refused: Refused, without_pauses: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TQDM_POSITION", "-1")  # shows them although this is no terminal
    model_hub.serve(NAME, small)
    model_hub.cut(WEIGHTS, after_bytes=0, times=100)
    assert refused(NAME).startswith("the download of ")


@pytest.mark.parametrize("part", ["/api/", "/tree/", "/resolve/", "/cdn/"])
@pytest.mark.parametrize("status", [500, 503])
def test_a_hub_that_fails(
    part: str, status: int, model_hub: Hub, small: Path, refused: Refused, without_pauses: None
) -> None:
    model_hub.serve(NAME, small)
    model_hub.fails[part] = status
    line = refused(NAME)
    assert NAME in line and "again later" in line
    model_hub.fails.clear()
    assert_fetched(small)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (429, "the hub takes no more requests for now: wait some minutes, or log in ("),
        (403, f"the hub does not let this token read {NAME}: give it the right to on "),
        (400, f"the hub did not send {NAME} (400): check the name, --revision and HF_ENDPOINT"),
        (410, f"the hub did not send {NAME} (410): check the name, --revision and HF_ENDPOINT"),
    ],
)
def test_a_hub_that_refuses(status: int, said: str, model_hub: Hub, small: Path, refused: Refused) -> None:
    model_hub.serve(NAME, small)
    model_hub.fails["/api/"] = status
    assert refused(NAME).startswith(said)
    model_hub.fails.clear()
    assert_fetched(small)


def test_a_hub_that_is_gone(model_hub: Hub, small: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    model_hub.serve(NAME, small)
    with monkeypatch.context() as patch:
        point_to("http://127.0.0.1:9", patch)
        assert "check the network, HF_ENDPOINT and HF_HUB_OFFLINE" in refused(NAME)
    assert_fetched(small)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("part", ["/api/", "/tree/"])
def test_a_hub_that_never_answers(
    part: str, model_hub: Hub, small: Path, refused: Refused, without_pauses: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_hub.serve(NAME, small)
    model_hub.silent = part
    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
        assert "the hub cannot be reached" in refused(NAME)
    model_hub.silent = None
    assert_fetched(small)


def test_a_mirror_named_by_its_variable_refuses_the_whole_command(
    model_hub: Hub, small: Path, catalog: Path, tmp_path: Path
) -> None:
    model_hub.serve(NAME, small, is_gated=True)
    command = [sys.executable, "-m", "lengthwise", "model", "add", NAME]
    environment = dict(os.environ) | model_hub.environment(tmp_path / "home", "hf_of_another")
    ran = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.splitlines()[-1].startswith(f"lengthwise: {NAME} is gated: ")
    assert "Traceback" not in ran.stderr and not catalog.exists()
