"""The form of a key, and how strictly it is read from a request."""

import re

from hypothesis import given
from hypothesis import strategies as st

from lengthwise import key as keys

VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=512)


def test_a_key_has_its_public_id_and_a_secret() -> None:
    made, other = keys.new_key(), keys.new_key()
    assert re.fullmatch(r"lw_[0-9a-f]{32}_[0-9A-Za-z]{43}", made.text)
    assert keys.parse_id(made.text) == made.id
    assert made.text.rpartition("_")[2] != other.text.rpartition("_")[2]
    assert made.text not in repr(made)


@given(token=VISIBLE, scheme=st.sampled_from(["Bearer", "bearer", "BEARER"]), blanks=st.integers(1, 5))
def test_any_well_formed_bearer_token_is_read_completely(token: str, scheme: str, blanks: int) -> None:
    assert keys.parse_bearer([scheme + " " * blanks + token]) == token


@given(value=st.text(max_size=80) | st.from_regex(r"(?i)bearer.*", fullmatch=True))
def test_only_one_token_after_the_bearer_scheme_is_read(value: str) -> None:
    token = keys.parse_bearer([value])
    parts = value.split(" ")
    is_right = (
        len(parts) >= 2
        and parts[0].lower() == "bearer"
        and not any(parts[1:-1])
        and 0 < len(parts[-1]) <= 512
        and all("!" <= letter <= "~" for letter in parts[-1])
    )
    assert token == (parts[-1] if is_right else None)


@given(token=VISIBLE, number=st.integers(0, 4).filter(lambda number: number != 1))
def test_no_header_or_several_headers_give_no_token(token: str, number: int) -> None:
    assert keys.parse_bearer([f"Bearer {token}"] * number) is None


@given(text=st.text(max_size=100) | st.from_regex(r"lw_[0-9a-fA-F]{30,34}_[0-9A-Za-z_]{40,46}"))
def test_only_a_key_has_an_id(text: str) -> None:
    is_key = re.fullmatch(r"lw_[0-9a-f]{32}_[0-9A-Za-z]{43}", text, re.ASCII)
    found = keys.parse_id(text)
    assert (found is not None) is (is_key is not None)
    assert found is None or found.hex == text[3:35]


@given(one=VISIBLE, other=VISIBLE, pepper=VISIBLE)
def test_a_digest_depends_on_the_key_and_the_pepper(one: str, other: str, pepper: str) -> None:
    digest = keys.digest(one, pepper)
    assert len(digest) == 32
    assert keys.digests_match(digest, keys.digest(one, pepper))
    assert keys.digests_match(digest, keys.digest(other, pepper)) is (one == other)
    assert not keys.digests_match(digest, keys.digest(one, f"{pepper}."))
