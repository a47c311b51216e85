"""The header of W3C Trace Context."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lengthwise.traces import parse, trace_id

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
WHOLE = f"00-{TRACE}-{SPAN}-01"


def test_a_well_formed_header_is_taken() -> None:
    assert parse(WHOLE) == WHOLE
    assert parse(f"cc-{TRACE}-{SPAN}-00") == f"00-{TRACE}-{SPAN}-00"
    assert trace_id(WHOLE) == TRACE


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        WHOLE.upper(),
        f"{WHOLE}-more",
        f" {WHOLE}",
        f"{WHOLE}\n",
        WHOLE.replace("-", "_"),
        WHOLE.replace("4", "４"),
        f"00-{TRACE}-{SPAN}-0g",
        "CaNaRy" * 9 + "x",
        WHOLE * 1000,
    ],
)
def test_anything_else_is_not(header: str | None) -> None:
    assert parse(header) is None


@given(st.text())
def test_no_text_of_a_caller_passes(header: str) -> None:
    found = parse(header)
    assert found is None or set(found) <= set("0123456789abcdef-")


def test_nothing_has_no_trace() -> None:
    assert trace_id(None) is None
