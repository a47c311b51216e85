"""Arrays in the hand-made binary format reach Postgres unchanged."""

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from lengthwise import database
from lengthwise.ledger import binary_array
from lengthwise.settings import Settings

_ECHO = "SELECT %(integers)s::bigint[], %(texts)s::text[], %(lines)s::bytea[]"
_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@hypothesis(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    integers=st.lists(st.integers(-(2**63), 2**63 - 1)),
    texts=st.lists(_TEXTS),
    lines=st.lists(st.binary() | st.binary(min_size=2000, max_size=3000)),
)
def test_what_is_sent_is_read_back(
    installed: Settings, integers: list[int], texts: list[str], lines: list[bytes]
) -> None:
    values = {
        "integers": binary_array.of_integers(integers),
        "texts": binary_array.of_texts(texts),
        "lines": binary_array.of_bytes(lines),
    }
    with database.engine().begin() as connection:
        found = database.cursor(connection, binary=True).execute(_ECHO, values).fetchone()
    assert found == (integers, texts, lines)
