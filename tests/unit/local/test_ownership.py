"""Files of keys and of code are used only if nobody else can have written them."""

import os
from pathlib import Path

import pytest

from lengthwise.errors import ConfigurationError
from lengthwise.local import secrets_on_disk
from lengthwise.local.ownership import own
from lengthwise.settings import Settings

ANOTHER_USER = 12345
SHARED_GROUP = 23456
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o711)
    path = folder / "master.key"
    path.write_text("A" * 44)
    path.chmod(0o600)
    return path


def test_a_file_of_our_own_is_ours_also_under_a_folder_as_tmp(key: Path) -> None:
    assert own(key) == key.resolve()
    key.parent.parent.chmod(0o1777)
    assert own(key) == key.resolve()


@pytest.mark.parametrize("mode", [0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(mode: int, key: Path) -> None:
    key.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"chmod go-w {key}"):
        own(key)


@as_root
def test_a_group_may_write_only_if_it_is_the_users_own(key: Path) -> None:
    key.chmod(0o660)
    assert own(key) == key.resolve()
    os.chown(key, os.geteuid(), SHARED_GROUP)
    with pytest.raises(ConfigurationError, match="others may write"):
        own(key)


@pytest.mark.parametrize("mode", [0o707, 0o777])
def test_a_folder_above_that_others_may_write_is_refused(mode: int, key: Path) -> None:
    key.parent.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod go-w"):
        own(key)


def test_a_folder_itself_must_be_ours_alone_also_with_the_sticky_bit(key: Path) -> None:
    key.parent.chmod(0o1777)
    with pytest.raises(ConfigurationError, match="others may write"):
        own(key.parent)


@as_root
@pytest.mark.parametrize("place", ["file", "folder"])
def test_a_place_of_another_user_is_refused(place: str, key: Path) -> None:
    os.chown(key if place == "file" else key.parent, ANOTHER_USER, ANOTHER_USER)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        own(key)


def test_a_link_is_judged_by_the_file_that_it_leads_to(key: Path, tmp_path: Path) -> None:
    open_folder = tmp_path / "open"
    open_folder.mkdir()
    planted = open_folder / "planted"
    planted.write_text("x")
    open_folder.chmod(0o777)
    key.unlink()
    key.symlink_to(planted)
    with pytest.raises(ConfigurationError, match="others may write"):
        own(key)


@pytest.mark.parametrize("name", ["admin.key", "key.pepper", "master.key"])
@pytest.mark.parametrize("place", ["file", "folder"])
def test_a_planted_secret_is_refused_and_not_shown(name: str, place: str, tmp_path: Path) -> None:
    bare = Settings(admin_key=None, key_pepper=None, master_key=())
    made = secrets_on_disk.load_or_create(bare, tmp_path, lambda _: None)
    (tmp_path / name if place == "file" else tmp_path).chmod(0o777)
    with pytest.raises(ConfigurationError, match="chmod go-w") as caught:
        secrets_on_disk.load_or_create(bare, tmp_path, lambda _: None)
    assert not any(secret in str(caught.value) for secret in made.values())


def test_no_secret_is_made_where_others_could_replace_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigurationError, match="chmod go-w"):
        secrets_on_disk.load_or_create(
            Settings(admin_key=None, key_pepper=None, master_key=()), tmp_path, lambda _: None
        )
    assert list(tmp_path.iterdir()) == []
