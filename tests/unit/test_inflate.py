"""Compressed bodies, cut into any chunks and with any content."""

import gzip
import random
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from lengthwise.errors import InvalidInput, TooLarge
from lengthwise.inflate import MOST_PARTS, Inflater

PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstandard.compress}
BOTH = pytest.mark.parametrize("encoding", PACK)
#: The limit of one decompressed piece; the whole bomb is hundreds of times larger.
MOST_BYTES = 17 * 2**20


def unpacked(encoding: str, *chunks: bytes) -> bytes:
    inflater = Inflater(encoding)
    found = b"".join(piece for chunk in chunks for piece in inflater.feed(chunk))
    inflater.finish()
    return found


@settings(deadline=None)
@given(parts=st.lists(st.binary(max_size=3000), min_size=1, max_size=4), data=st.data())
@BOTH
def test_a_body_is_the_same_however_it_is_cut(encoding: str, parts: list[bytes], data: st.DataObject) -> None:
    packed = b"".join(map(PACK[encoding], parts))
    at = data.draw(st.integers(0, len(packed)))
    assert unpacked(encoding, packed[:at], packed[at:]) == b"".join(parts)


@BOTH
def test_a_body_that_ends_too_early_is_not_valid(encoding: str) -> None:
    packed = PACK[encoding](random.Random(1).randbytes(5000))
    for end in (0, 1, 5, 100, len(packed) - 1):
        with pytest.raises(InvalidInput, match=f"not valid {encoding}: it ends too early"):
            unpacked(encoding, packed[:end])


@BOTH
@pytest.mark.parametrize("content", [b"CaNaRy, and not compressed", b"\x00" * 600])
def test_a_body_in_another_encoding_is_not_valid(encoding: str, content: bytes) -> None:
    for sent in (content, PACK[encoding](b"abc") + content):
        with pytest.raises(InvalidInput, match=f"^not valid {encoding}$") as refused:
            unpacked(encoding, sent)
        assert refused.value.field == "body"


@settings(deadline=None)
@given(content=st.binary(max_size=200), at=st.integers(0, 10_000), value=st.integers(0, 255))
@BOTH
def test_a_damaged_body_is_read_or_refused(encoding: str, content: bytes, at: int, value: int) -> None:
    packed = bytearray(PACK[encoding](content))
    packed[at % len(packed)] = value
    try:
        unpacked(encoding, bytes(packed))
    except InvalidInput as error:
        assert str(error).startswith(f"not valid {encoding}")


@BOTH
def test_a_decompression_bomb_is_unpacked_in_small_pieces(encoding: str) -> None:
    bomb = PACK[encoding](bytes(2**28))
    assert len(bomb) < 2**19
    pieces = [len(piece) for piece in Inflater(encoding).feed(bomb)]
    assert sum(pieces) == 2**28
    assert max(pieces) < MOST_BYTES


def test_a_window_larger_than_senders_may_use_is_refused() -> None:
    params = zstandard.ZstdCompressionParameters(window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=params).compressobj()
    wide = packer.compress(random.Random(1).randbytes(2**20)) + packer.flush()
    with pytest.raises(InvalidInput):
        unpacked("zstd", wide)
    assert sum(map(len, Inflater("zstd", window_bytes=2**27).feed(wide))) == 2**20


@pytest.mark.parametrize("content", [b"", b"ab"])
@BOTH
def test_members_that_cost_more_than_they_hold_are_counted(encoding: str, content: bytes) -> None:
    packed = PACK[encoding](content)
    assert unpacked(encoding, packed * MOST_PARTS) == content * MOST_PARTS
    inflater = Inflater(encoding)
    with pytest.raises(TooLarge, match="at most 100000 members"):
        for _ in range(100):
            list(inflater.feed(packed * 5000))
