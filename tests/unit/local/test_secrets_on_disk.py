"""The secrets that ``lengthwise up`` makes at its first start and stores."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from lengthwise import sealing
from lengthwise.errors import ConfigurationError
from lengthwise.key import parse_id
from lengthwise.local import secrets_on_disk
from lengthwise.settings import Settings


@pytest.fixture
def bare() -> Settings:
    return Settings(admin_key=None, key_pepper=None, master_key=())


def test_secrets_are_made_once_readable_by_one_user_and_the_key_is_printed_once(bare: Settings, tmp_path: Path) -> None:
    said: list[str] = []
    first, second = (secrets_on_disk.load_or_create(bare, tmp_path, said.append) for _ in range(2))
    assert first == second
    assert set(first) == {"LENGTHWISE_ADMIN_KEY", "LENGTHWISE_KEY_PEPPER", "LENGTHWISE_MASTER_KEY"}
    assert parse_id(first["LENGTHWISE_ADMIN_KEY"]) is not None
    assert set(secrets_on_disk.delivery_variables(first)) == {"LENGTHWISE_MASTER_KEY"}
    (line,) = said
    assert first["LENGTHWISE_ADMIN_KEY"] in line
    assert first["LENGTHWISE_KEY_PEPPER"] not in line
    assert first["LENGTHWISE_MASTER_KEY"] not in line
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "admin.key": 0o600,
        "key.pepper": 0o600,
        "master.key": 0o600,
    }
    Settings(
        admin_key=SecretStr(first["LENGTHWISE_ADMIN_KEY"]),
        key_pepper=SecretStr(first["LENGTHWISE_KEY_PEPPER"]),
        master_key=(SecretStr(first["LENGTHWISE_MASTER_KEY"]),),
    )  # as the API will read them


def test_a_secret_of_the_settings_is_neither_made_nor_stored(bare: Settings, tmp_path: Path) -> None:
    given = {"admin_key": SecretStr("x" * 24), "key_pepper": SecretStr("y" * 24), "master_key": (SecretStr("z"),)}
    named = bare.model_copy(update=given)
    assert secrets_on_disk.load_or_create(named, tmp_path, pytest.fail) == {}
    assert list(tmp_path.iterdir()) == []


def test_a_file_left_by_an_interrupted_start_is_not_used_as_a_key(bare: Settings, tmp_path: Path) -> None:
    (tmp_path / "key.pepper.new").write_text("ha")
    assert len(secrets_on_disk.load_or_create(bare, tmp_path, lambda _: None)["LENGTHWISE_KEY_PEPPER"]) == 64


def test_the_error_names_a_folder_that_cannot_be_written(bare: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot keep key\.pepper in "):
        secrets_on_disk.load_or_create(bare, tmp_path / "none", lambda _: None)


@pytest.mark.parametrize("value", ["short", "with a blank in the midst of it", "ü" * 30, "x" * 513])
def test_an_invalid_stored_secret_is_refused_and_not_shown(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="24 to 512 visible") as caught:
        Settings(admin_key=SecretStr(value))
    assert value not in str(caught.value)
    assert "x" * 24 not in repr(Settings(admin_key=SecretStr("x" * 24)))


@pytest.mark.parametrize("content", ["", "\n\n\n", " , ", "CaNaRy", "\x00" * 80, "é" * 30])
@pytest.mark.parametrize("name", ["admin.key", "key.pepper", "master.key"])
def test_a_damaged_file_is_named_and_neither_used_nor_replaced(
    bare: Settings, tmp_path: Path, name: str, content: str
) -> None:
    """Such as one that a full disk or an editor left empty. An empty variable would count as unset."""
    secrets_on_disk.load_or_create(bare, tmp_path, lambda _: None)
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        secrets_on_disk.load_or_create(bare, tmp_path, lambda _: None)
    assert str(caught.value).startswith(f"{tmp_path / name} holds no key: ")
    assert "CaNaRy" not in str(caught.value) and "\n" not in str(caught.value)
    assert (tmp_path / name).read_text() == content


def test_a_file_may_hold_two_master_keys_while_they_are_rotated(bare: Settings, tmp_path: Path) -> None:
    both = ",".join(sealing.new_master_key() for _ in range(2))
    (tmp_path / "master.key").write_text(f"{both}\n")
    assert secrets_on_disk.load_or_create(bare, tmp_path, lambda _: None)["LENGTHWISE_MASTER_KEY"] == both
