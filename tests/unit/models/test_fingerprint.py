"""Fingerprints: the same for the same files on any machine, and different for other files."""

import os
from pathlib import Path

import pytest

from lengthwise.errors import ConfigurationError
from lengthwise.models import manifest
from lengthwise.models.catalog import Catalog
from lengthwise.models.fingerprint import fingerprint

BIG = 3 * 2**20


def folder(at: Path, weights: bytes = b"\0" * BIG) -> Path:
    at.mkdir()
    (at / "config.json").write_text("{}")
    (at / "model.safetensors").write_bytes(weights)
    return at


def test_copies_of_a_folder_have_the_same_fingerprint(tmp_path: Path) -> None:
    one, other = folder(tmp_path / "one"), folder(tmp_path / "other")
    os.utime(other / "model.safetensors", (1, 1))
    (other / ".cache").mkdir()
    (other / ".lock").touch()
    assert fingerprint(one) == fingerprint(other)
    assert len(fingerprint(one)) == 16


@pytest.mark.parametrize("at", [0, BIG - 1])
def test_the_first_and_the_last_byte_of_the_weights_change_the_fingerprint(tmp_path: Path, at: int) -> None:
    weights = bytearray(BIG)
    weights[at] = 1
    assert fingerprint(folder(tmp_path / "one")) != fingerprint(folder(tmp_path / "other", bytes(weights)))


def test_the_size_the_name_and_every_byte_of_a_small_file_change_the_fingerprint(tmp_path: Path) -> None:
    model = folder(tmp_path / "model")
    seen = {fingerprint(model)}
    (model / "model.safetensors").write_bytes(b"\0" * (BIG + 1))
    seen.add(fingerprint(model))
    (model / "config.json").write_text("[]")
    seen.add(fingerprint(model))
    (model / "config.json").rename(model / "other.json")
    seen.add(fingerprint(model))
    assert len(seen) == 4


def test_the_fingerprint_is_that_of_the_manifest_if_there_is_one(tmp_path: Path) -> None:
    one, other = folder(tmp_path / "one"), folder(tmp_path / "other", b"other")
    for model in (one, other):
        manifest.write(model, ["model.safetensors"])
    assert fingerprint(one) != fingerprint(other)
    before = fingerprint(one)
    (one / "README.md").write_text("a note that the manifest does not list")
    assert fingerprint(one) == before


def test_an_unreadable_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="none cannot be read"):
        fingerprint(tmp_path / "none")


def test_the_revision_is_the_configured_name_the_hubs_commit_or_the_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    commit = "0123456789abcdef0123456789abcdef01234567"
    stored = tmp_path / "hub" / "models--a--b"
    (stored / "snapshots" / commit).mkdir(parents=True)
    (stored / "refs").mkdir()
    (stored / "refs" / "main").write_text(commit)
    folder(tmp_path / "model")
    (tmp_path / "models.toml").write_text(
        '[models.plain]\npath = "model"\n[models.named]\npath = "model"\nrevision = "spring"\n'
        '[models.hub]\nhub = "a/b"\nrevision = "main"\n'
    )
    models = Catalog.read(tmp_path / "models.toml").models
    assert models["plain"].made_by == fingerprint(tmp_path / "model")
    assert models["named"].made_by == "spring"
    assert models["hub"].made_by == commit
