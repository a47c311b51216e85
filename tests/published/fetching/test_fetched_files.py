"""``lengthwise model add`` and the files of a repository: a full disk, damaged files, names that lead elsewhere, and
what is in the cache already."""

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest
from huggingface_hub import constants

from tests.published.loopback.hub import Hub
from tests.published.small import NAME, WEIGHTS, Refused, assert_fetched, downloads
from tests.published.snapshot import HubFile
from worker.importing.fetch import fetch


@contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    """Writing more into a file fails, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("is_offline", [True, False])
def test_what_is_in_the_cache_needs_no_hub(
    is_offline: bool, model_hub: Hub, small: Path, catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = model_hub.serve(NAME, small).commit
    fetch(NAME)
    model_hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", is_offline)
    model_hub.is_down = True
    assert fetch(NAME).revision == commit
    assert_fetched(small)
    assert bool(model_hub.requests) is not is_offline


@pytest.mark.parametrize("lost", [None, WEIGHTS, "tokenizer.json", "1_Pooling/config.json"])
def test_what_is_not_in_the_cache_as_a_whole_needs_the_hub(
    lost: str | None, model_hub: Hub, small: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_hub.serve(NAME, small)
    if lost is not None:
        (fetch(NAME).folder / lost).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        line = refused(NAME)
    assert line.startswith(f"{NAME} is not on this machine as a whole, and ") and "HF_HUB_OFFLINE" in line
    assert_fetched(small)


def test_a_disk_without_room_for_the_model(
    model_hub: Hub, small: Path, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = model_hub.serve(NAME, small).files[WEIGHTS]
    vars(file)["size"] = 10**15
    line = refused(NAME)
    assert line.startswith(f"{NAME} needs 1000000.0 GB, and {tmp_path / 'cache'} has ")
    assert line.endswith(" GB left: free some, or let HF_HUB_CACHE name another disk")
    assert downloads(model_hub) == set()
    del vars(file)["size"]
    assert_fetched(small)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    assert_fetched(small)  # what is there needs no room


def test_a_disk_that_fills_up(model_hub: Hub, small: Path, refused: Refused, tmp_path: Path) -> None:
    model_hub.serve(NAME, small)
    with files_of_at_most(20_000):
        line = refused(NAME)
    assert line.startswith(f"the disk of {tmp_path / 'cache'} takes no more (")
    assert line.endswith("): free some, or let HF_HUB_CACHE name another")
    assert_fetched(small)


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOSPC, "takes no more ("), (errno.EDQUOT, "takes no more ("), (errno.EROFS, "cannot be used (")],
)
def test_a_cache_that_cannot_be_written(
    number: int, said: str, model_hub: Hub, small: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    model_hub.serve(NAME, small)
    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.file_download.http_get", fails)
        line = refused(NAME)
    assert f"{said}{os.strerror(number)})" in line and "let HF_HUB_CACHE name another" in line
    assert_fetched(small)


def test_a_cache_that_is_no_folder(
    model_hub: Hub, small: Path, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_hub.serve(NAME, small)
    (tmp_path / "file").touch()
    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "cache"))
        assert "cannot be used (Not a directory): let HF_HUB_CACHE name another folder" in refused(NAME)
    assert_fetched(small)


@pytest.mark.parametrize("name", [WEIGHTS, "tokenizer.json"])
@pytest.mark.parametrize("is_short", [True, False])
def test_a_file_that_arrives_damaged_is_named_and_fetched_again(
    name: str, is_short: bool, model_hub: Hub, small: Path, refused: Refused
) -> None:
    file = model_hub.serve(NAME, small).files[name]
    whole, _, size = (small / name).read_bytes(), (file.sha256, file.git_sum), file.size
    if is_short:
        vars(file)["size"] = size - 1
    else:
        (small / name).write_bytes(b"!" * size)
    line = refused(NAME)
    assert line.startswith(f"{name} was damaged on its way, or the hub has a damaged copy: it was deleted here; run ")
    vars(file)["size"] = size
    (small / name).write_bytes(whole)
    assert_fetched(small)


def test_names_that_leave_the_folder_are_not_fetched(
    model_hub: Hub, small: Path, catalog: Path, tmp_path: Path
) -> None:
    snapshot = model_hub.serve(NAME, small)
    for name in (
        *("../evil.json", "/evil.json", "..\\evil.json", "1_Pooling/../../evil/config.json", "\x1b[2Jevil.json"),
        *("additional_chat_templates/../../evil.jinja", "evil/tokenizer.json", "evil\n.json"),
    ):
        snapshot.files[name] = HubFile(name, small / "config.json")
    assert_fetched(small)
    assert not any("evil" in name for name in downloads(model_hub))
    assert list(tmp_path.rglob("*evil*")) == []


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["README.md"], "has no config.json, so it is no model in transformers' form: name another"),
        (["config.json"], "has no weights: name a repository with safetensors or pytorch_model.bin"),
        (["config.json", "tf_model.h5"], "has only weights of other frameworks (.h5): name a repository with "),
        (["config.json", "onnx/model.safetensors"], "has no weights: name a repository with "),
        (["config.json", "a.gguf", "b.gguf"], "has its weights as .gguf only: fetch one of the files (hf "),
    ],
)
def test_a_repository_without_weights_that_are_read(
    files: list[str], said: str, model_hub: Hub, refused: Refused, tmp_path: Path
) -> None:
    for name in files:
        (tmp_path / "other" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "other" / name).write_text("{}")
    model_hub.serve(NAME, tmp_path / "other")
    assert refused(NAME).startswith(f"{NAME} {said}")
    assert downloads(model_hub) == set()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("openai/whisper-tiny", "reads sound"),
        ("google/vit-base-patch16-224", "images"),
        ("Qwen/Qwen2.5-0.5B-Instruct-GPTQ-Int4", "GPTQ"),
        ("baichuan-inc/Baichuan2-7B-Chat", "its own code is never run"),
    ],
)
def test_a_model_that_cannot_be_served_is_refused_before_its_weights_are_fetched(
    name: str, said: str, model_hub: Hub, published: Callable[[str], Path], refused: Refused
) -> None:
    model_hub.serve(name, published(name))
    line = refused(name)
    assert line.startswith(f"{name}: ") and said in line
    assert not any("/cdn/" in path for _, path in model_hub.requests)
    assert "config.json" in downloads(model_hub)
