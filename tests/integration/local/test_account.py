"""As root: PostgreSQL's own user and what it can reach."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lengthwise.child import Account
from lengthwise.local.embedded import account
from tests.servers import reachable_folder

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs PostgreSQL as itself")


@pytest.fixture
def reachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with reachable_folder() as folder:
        monkeypatch.setattr(account, "REACHABLE", folder / "reachable")
        yield folder / "reachable"


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


def _user(data: Path) -> Account:
    user = account.choose(data, lambda line: None)  # noqa: ARG005
    assert user is not None
    return user


def test_postgres_runs_as_a_user_that_is_not_root(closed: Path) -> None:
    assert _user(closed / "none").uid != 0


def test_postgres_runs_as_the_owner_of_existing_data(closed: Path) -> None:
    (closed / "data").mkdir()
    os.chown(closed / "data", 12345, 12346)
    assert _user(closed / "data") == Account(12345, 12346)


def test_data_in_an_unreachable_folder_is_placed_elsewhere_once_and_linked(closed: Path, reachable: Path) -> None:
    user, said = _user(closed / "postgres"), list[str]()
    place = account.place_data(user, closed / "postgres", said.append)
    assert place.parent == reachable
    assert place.stat().st_uid == user.uid
    assert str(place) in said[0]
    assert account.place_data(user, closed / "postgres", said.append) == place
    assert len(said) == 1


def test_programs_in_an_unreachable_folder_are_copied_once(closed: Path, reachable: Path) -> None:
    postgres = closed / "wheel" / "pginstall18" / "bin" / "postgres"
    postgres.parent.mkdir(parents=True)
    postgres.write_text("#!/bin/sh\n")
    postgres.chmod(0o700)
    libraries = closed / "wheel.libs"
    libraries.mkdir()
    user = _user(closed / "none")
    copy = account.place_programs(user, postgres.parents[1], libraries)
    assert copy.is_relative_to(reachable)
    assert (copy.parents[1] / "wheel.libs").is_dir()
    assert account.can_reach(user, copy / "bin" / "postgres")
    assert account.place_programs(user, postgres.parents[1], libraries) == copy
