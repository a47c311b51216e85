"""The loopback hub: ``huggingface_hub`` downloads from it, and names its errors as it names those of the real one."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors

from tests.published.loopback.hub import TOKEN, Hub

NAME = "example/small"
_MEBIBYTE = 1 << 20


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A repository's folder with small files, a folder, and a large file."""
    folder = tmp_path / "small"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    (folder / "config.json").write_text("{}")
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "mean"}')
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 96 * 1024)  # 24 MiB
    return folder


@pytest.fixture
def download(model_hub: Hub, tmp_path: Path) -> Callable[..., Path]:
    """Downloads a repository in this process, into a fresh cache."""

    def snapshot(name: str = NAME, **more: Any) -> Path:
        more = {"token": False} | more
        found = huggingface_hub.snapshot_download(name, endpoint=model_hub.url, cache_dir=tmp_path / "cache", **more)
        return Path(found)

    return snapshot


def contents(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def file_downloads(hub: Hub) -> int:
    return sum(method == "GET" and not path.startswith("/api/") for method, path in hub.requests)


def test_a_repository_arrives_whole(model_hub: Hub, small: Path, download: Callable[..., Path]) -> None:
    commit = model_hub.serve(NAME, small).commit
    found = download()
    assert contents(found) == contents(small)
    assert found.name == commit


@pytest.mark.parametrize("name", ["google/embeddinggemma-300m", "Helsinki-NLP/opus-mt-zh-en"])
def test_a_public_repository_arrives_whole(
    name: str, model_hub: Hub, published: Callable[[str], Path], download: Callable[..., Path]
) -> None:
    model_hub.serve(name, published(name))
    assert contents(download(name)) == contents(published(name))


def test_the_hub_tells_the_licence(model_hub: Hub, small: Path) -> None:
    model_hub.serve(NAME, small)
    card = huggingface_hub.HfApi(model_hub.url).model_info(NAME, token=False).card_data
    assert card is not None and card.license == "mit"


def test_a_new_process_downloads_with_the_variables(model_hub: Hub, small: Path, tmp_path: Path) -> None:
    model_hub.serve(NAME, small)
    program = f"import huggingface_hub; print(huggingface_hub.snapshot_download({NAME!r}))"
    environment = {"PATH": "/usr/bin:/bin"} | model_hub.environment(tmp_path / "home")
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True, text=True)
    found = Path(ran.stdout.strip())
    assert tmp_path / "home" in found.parents
    assert contents(found) == contents(small)


def test_what_is_there_is_not_downloaded_again(model_hub: Hub, small: Path, download: Callable[..., Path]) -> None:
    model_hub.serve(NAME, small)
    download()
    assert file_downloads(model_hub) > 0
    model_hub.requests.clear()
    download()
    assert file_downloads(model_hub) == 0


def test_a_commit_names_a_revision(model_hub: Hub, small: Path, download: Callable[..., Path]) -> None:
    first = model_hub.serve(NAME, small).commit
    assert download(revision=first).name == first


def test_a_cut_download_is_resumed(model_hub: Hub, small: Path, download: Callable[..., Path]) -> None:
    model_hub.serve(NAME, small)
    model_hub.cut("model.safetensors", after_bytes=15 * _MEBIBYTE)
    assert contents(download()) == contents(small)
    [begun] = model_hub.ranges  # from where the last whole chunk of 10 MiB ended
    assert begun == f"bytes={10 * _MEBIBYTE}-"


def test_a_download_that_is_always_cut_fails_and_later_goes_on(
    model_hub: Hub, small: Path, download: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model_hub.serve(NAME, small)
    model_hub.cut("model.safetensors", after_bytes=0, times=100)
    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
        with pytest.raises(Exception, match=r"peer closed connection|incomplete"):
            download()
    model_hub.cuts.clear()
    assert contents(download()) == contents(small)


def test_a_slow_download_arrives(model_hub: Hub, small: Path, download: Callable[..., Path]) -> None:
    (small / "model.safetensors").write_bytes(b"x" * (1 << 18))
    model_hub.serve(NAME, small)
    model_hub.seconds_per_block = 0.01
    assert contents(download()) == contents(small)


def test_an_unknown_repository_is_said(model_hub: Hub, download: Callable[..., Path]) -> None:
    for token in (False, TOKEN):
        with pytest.raises(errors.RepositoryNotFoundError):
            download("example/unknown", token=token)


def test_a_wrong_revision_is_said(model_hub: Hub, small: Path, download: Callable[..., Path]) -> None:
    model_hub.serve(NAME, small)
    with pytest.raises(errors.RevisionNotFoundError):
        download(revision="v9")


def test_a_missing_file_is_said(model_hub: Hub, small: Path, tmp_path: Path) -> None:
    model_hub.serve(NAME, small)
    with pytest.raises(errors.EntryNotFoundError):
        huggingface_hub.hf_hub_download(NAME, "vocab.txt", endpoint=model_hub.url, cache_dir=tmp_path, token=False)


@pytest.mark.parametrize("token", [False, "hf_of_another"])
def test_a_gated_repository_is_refused(
    model_hub: Hub, small: Path, download: Callable[..., Path], token: str | bool
) -> None:
    model_hub.serve(NAME, small, is_gated=True)
    with pytest.raises(errors.GatedRepoError):
        download(token=token)


def test_a_gated_repository_arrives_with_the_token(model_hub: Hub, small: Path, download: Callable[..., Path]) -> None:
    model_hub.serve(NAME, small, is_gated=True)
    assert contents(download(token=TOKEN)) == contents(small)
    assert huggingface_hub.HfApi(model_hub.url).model_info(NAME, token=False).gated == "manual"


def test_a_hub_that_is_down_is_said(model_hub: Hub, small: Path, download: Callable[..., Path]) -> None:
    model_hub.serve(NAME, small)
    model_hub.is_down = True
    with pytest.raises(errors.LocalEntryNotFoundError, match="503"):
        download()


def test_a_name_that_is_none_is_refused_without_asking(model_hub: Hub, download: Callable[..., Path]) -> None:
    with pytest.raises(errors.HFValidationError):
        download("a/b/c")
    assert not model_hub.requests
