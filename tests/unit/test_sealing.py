"""Secrets as they are stored: sealed under a master key, and bound to their row and column."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lengthwise.errors import ConfigurationError
from lengthwise.sealing import MasterKeys, new_master_key
from lengthwise.settings import Settings

FIRST, SECOND = b"1" * 32, b"2" * 32
secrets = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(secrets, st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_a_sealed_secret_opens_at_its_own_place(secret: str, place: str) -> None:
    sealed = MasterKeys([FIRST]).seal(secret, place)
    assert sealed.startswith("sealed:")
    assert MasterKeys([FIRST]).open(sealed, place) == secret


def test_no_two_sealed_texts_are_equal() -> None:
    assert len({MasterKeys([FIRST]).seal("whsec_x", "a") for _ in range(100)}) == 100


def test_a_secret_that_is_moved_to_another_row_does_not_open() -> None:
    sealed = MasterKeys([FIRST]).seal("whsec_x", "jobs:1")
    with pytest.raises(ConfigurationError, match="changed, or moved"):
        MasterKeys([FIRST]).open(sealed, "jobs:2")


@given(st.data())
def test_a_changed_byte_is_noticed(data: st.DataObject) -> None:
    head, _, encoded = MasterKeys([FIRST]).seal("whsec_x", "a").rpartition(":")
    raw = bytearray(base64.b64decode(encoded))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ConfigurationError, match="changed, or moved"):
        MasterKeys([FIRST]).open(f"{head}:{base64.b64encode(raw).decode()}", "a")


def test_the_first_key_seals_and_every_one_opens() -> None:
    old = MasterKeys([FIRST]).seal("whsec_x", "a")
    both = MasterKeys([SECOND, FIRST])
    assert both.open(old, "a") == "whsec_x"
    new = both.seal("whsec_x", "a")
    assert MasterKeys([SECOND]).open(new, "a") == "whsec_x"
    with pytest.raises(ConfigurationError, match="has no key"):
        MasterKeys([FIRST]).open(new, "a")


def test_a_secret_from_before_sealing_is_read_unchanged() -> None:
    assert MasterKeys([]).open("whsec_plain", "a") == "whsec_plain"


def test_without_a_key_nothing_is_sealed() -> None:
    with pytest.raises(ConfigurationError, match="LENGTHWISE_MASTER_KEY"):
        MasterKeys([]).seal("whsec_x", "a")


@pytest.mark.parametrize(
    "value",
    ["x", "A" * 44, new_master_key()[:-4], f"{new_master_key()},short"],
    ids=["a letter", "33 bytes", "30 bytes", "a good one and a bad one"],
)
def test_a_bad_master_key_is_refused_and_not_repeated(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENGTHWISE_MASTER_KEY", value)
    with pytest.raises(ValidationError) as refusal:
        Settings()
    assert refusal.value.errors()[0]["msg"] == "Value error, each key is the base64 of 32 bytes"


def test_settings_do_not_show_a_master_key(monkeypatch: pytest.MonkeyPatch) -> None:
    key, other = new_master_key(), new_master_key()
    monkeypatch.setenv("LENGTHWISE_MASTER_KEY", f"{key}, {other}")
    assert [each.get_secret_value() for each in Settings().master_key] == [key, other]
    assert key not in repr(Settings())
