"""Kinds of other packages are found by their entry points, and a broken one does not affect the others."""

import logging
from pathlib import Path

import pytest

from api.jobs.order import read_order
from lengthwise.errors import ConfigurationError, InvalidInput
from lengthwise.kinds import KINDS, find
from lengthwise.models.catalog import Catalog
from lengthwise.settings import Settings
from tests.kind_package import SING, write_kind

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
    assert "sing" not in KINDS
    assert find("chat.completions").name == "chat.completions"


def test_a_kind_of_another_package_is_found_with_its_options(outside: Path, tmp_path: Path) -> None:
    write_kind(outside, package="sing_whole")
    assert sorted([*OWN, "sing"]) == list(KINDS.usable())
    assert KINDS["sing"].summary == "says a text in upper case"
    spec = Catalog.read(table(tmp_path, '[models.m.sing]\nmark = "?"\n')).models["m"]
    assert spec.kinds == ("sing",)
    assert spec.kind_options["sing"].model_dump() == {"mark": "?"}
    with pytest.raises(ConfigurationError, match=r"models\.m\.sing\.mark: "):
        Catalog.read(table(tmp_path, "[models.m.sing]\nmark = 1\n"))
    with pytest.raises(ConfigurationError, match=r"models\.m\.whisper: .*kinds: chat, embed, .*sing, translate"):
        Catalog.read(table(tmp_path, "[models.m.whisper]\n"))


@pytest.mark.parametrize(
    ("package", "name", "source", "reason"),
    [
        ("sing_needs", "sing", "import no_such_library", "No module named 'no_such_library'"),
        ("sing_raises", "sing", "1 / 0", "ZeroDivisionError"),
        ("sing_absent", "sing", "", "has no attribute 'SingKind'"),
        ("sing_other", "sing", "SingKind = 5", "is no subclass of lengthwise.kinds.native.NativeKind"),
        ("sing_mute", "sing", SING.replace("    summary =", "    said ="), "does not define summary"),
        ("sing_renamed", "cry", SING, "calls itself 'sing'"),
        ("sing_abstract", "sing", SING.replace("def output", "def out"), "cannot be made"),
        ("sing_setting", "server", SING.replace('"sing"', '"server"'), "no setting of a model"),
        ("sing_loud", "Sing", SING.replace('"sing"', '"Sing"'), "short lowercase word"),
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
    write_kind(outside, "import no_such_library", package="sing_named")
    with pytest.raises(ConfigurationError, match=r"models\.m\.sing: .*'sing' of the package sing_named cannot be"):
        Catalog.read(table(tmp_path, "[models.m.sing]\n"))


def test_a_job_of_a_broken_kind_is_refused_for_good(
    outside: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_kind(outside, "import no_such_library", package="sing_refused")
    catalog = Catalog.read(table(tmp_path, "[models.m.generate]\n"))
    with pytest.raises(InvalidInput, match="installed but cannot be loaded"):
        read_order({"kind": "sing"}, catalog, Settings())
    assert "no_such_library" in caplog.text
    with pytest.raises(InvalidInput, match=r"known here: chat, embed, generate, moderate, translate$"):
        read_order({"kind": "hum"}, catalog, Settings())


def test_a_kind_that_is_no_table_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"models\.m\.chat: must be a table$"):
        Catalog.read(table(tmp_path, "chat = 5\n"))


def test_the_error_names_both_packages_that_offer_the_same_kind(outside: Path) -> None:
    for package in ("sing_first", "sing_second"):
        write_kind(outside, package=package)
    with pytest.raises(ConfigurationError, match=r"several packages offer 'sing': .*sing_first.*"):
        KINDS["sing"]
    assert KINDS["generate"].name == "generate"
