"""``lengthwise model add`` refuses what can be no model by one line that is safe to show, and asks no hub for it."""

from pathlib import Path

import pytest

from tests.published.loopback.hub import Hub
from tests.published.small import Refused

ODD_NAMES = [
    *("a/b/c", "", "a/../b", "../b", "a//b", "/no/such", "a/", "/a", "a--b/c", "owner/name.git", "ä/b", "a b/c"),
    *("owner/na\nme", "owner/\x1b[2Jname", "\x9b2J/name", "owner/\u202ename", "[red]a/b", "https://hub.example/a/b"),
    *("x" * 300, "o/" + "x" * 97, "x/" * 3000),
]


@pytest.mark.parametrize("name", ODD_NAMES, ids=lambda name: repr(name)[:20])
def test_a_name_that_can_be_no_model(name: str, model_hub: Hub, refused: Refused) -> None:
    line = refused(name)
    assert "neither a folder, nor a .gguf file, nor a hub id: correct the path, or name the model as " in line
    assert len(line) < 400
    assert model_hub.requests == []


def test_a_folder_that_holds_no_model(
    model_hub: Hub, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    for name in (".", str(tmp_path / "empty")):
        assert refused(name).startswith(f"{name}: it is no model: it has neither a config.json nor ")
    (tmp_path / "config.json").touch()
    assert refused("../config.json").startswith("../config.json is a file: name the folder of the model, or a .gguf ")
    assert refused("none.gguf") == "none.gguf does not exist: correct the path, or fetch the file"
    assert model_hub.requests == []
