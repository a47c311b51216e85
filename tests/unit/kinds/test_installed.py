"""Kinds of other packages are found by their entry points, and a broken one does not affect the others."""

import logging
from pathlib import Path

import pytest

from lengthwise.errors import ConfigurationError
from lengthwise.kinds import KINDS, find
from lengthwise.models.catalog import Catalog
from tests.kind_package import SHOUT, write_kind

OWN = ["chat", "embed", "generate", "moderate", "translate"]


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def table(folder: Path, lines: str) -> Path:
    path = folder / "models.toml"
    path.write_text(f'[models.m]\npath = "m"\n{lines}')
    return path


def test_our_own_kinds_are_registered_by_entry_points_like_others() -> None:
    assert list(KINDS) == OWN == list(KINDS.usable())
    assert all(find(name) is KINDS[name] for name in OWN)
    assert "shout" not in KINDS
    assert find("chat.completions").name == "chat.completions"


def test_a_kind_of_another_package_is_found_with_its_options(outside: Path, tmp_path: Path) -> None:
    write_kind(outside, package="shout_whole")
    assert sorted([*OWN, "shout"]) == list(KINDS.usable())
    assert KINDS["shout"].summary == "says a text in upper case"
    spec = Catalog.read(table(tmp_path, '[models.m.shout]\nmark = "?"\n')).models["m"]
    assert spec.kinds == ("shout",)
    assert spec.kind_options["shout"].model_dump() == {"mark": "?"}
    with pytest.raises(ConfigurationError, match=r"models\.m\.shout\.mark: "):
        Catalog.read(table(tmp_path, "[models.m.shout]\nmark = 1\n"))
    with pytest.raises(ConfigurationError, match=r"models\.m\.whisper: .*kinds: chat, embed, .*shout, translate"):
        Catalog.read(table(tmp_path, "[models.m.whisper]\n"))


@pytest.mark.parametrize(
    ("package", "name", "source", "reason"),
    [
        ("shout_needs", "shout", "import no_such_library", "No module named 'no_such_library'"),
        ("shout_raises", "shout", "1 / 0", "ZeroDivisionError"),
        ("shout_absent", "shout", "", "has no attribute 'ShoutKind'"),
        ("shout_other", "shout", "ShoutKind = 5", "is no subclass of lengthwise.kinds.native.NativeKind"),
        ("shout_mute", "shout", SHOUT.replace("    summary =", "    said ="), "does not define summary"),
        ("shout_renamed", "cry", SHOUT, "calls itself 'shout'"),
        ("shout_abstract", "shout", SHOUT.replace("def output", "def out"), "cannot be made"),
        ("shout_setting", "server", SHOUT.replace('"shout"', '"server"'), "no setting of a model"),
        ("shout_loud", "Shout", SHOUT.replace('"shout"', '"Shout"'), "short lowercase word"),
    ],
)
def test_a_broken_kind_fails_by_name_and_the_others_work(
    outside: Path, caplog: pytest.LogCaptureFixture, package: str, name: str, source: str, reason: str
) -> None:
    write_kind(outside, source, name=name, package=package)
    with pytest.raises(ConfigurationError) as caught:
        KINDS[name]
    assert reason in str(caught.value)
    assert f"'{name}'" in str(caught.value)
    with caplog.at_level(logging.ERROR):
        assert list(KINDS.usable()) == OWN
    assert reason in caplog.text


def test_a_model_that_names_a_broken_kind_is_refused(outside: Path, tmp_path: Path) -> None:
    write_kind(outside, "import no_such_library", package="shout_named")
    with pytest.raises(ConfigurationError, match=r"models\.m\.shout: .*'shout' of the package shout_named cannot be"):
        Catalog.read(table(tmp_path, "[models.m.shout]\n"))


def test_the_error_names_both_packages_that_offer_the_same_kind(outside: Path) -> None:
    for package in ("shout_first", "shout_second"):
        write_kind(outside, package=package)
    with pytest.raises(ConfigurationError, match=r"several packages offer 'shout': .*shout_first.*"):
        KINDS["shout"]
    assert KINDS["generate"].name == "generate"
