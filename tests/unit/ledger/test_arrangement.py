"""How items become shards while they arrive: in chunks, by pool and length, each item in one place."""

from hypothesis import given
from hypothesis import strategies as st

from lengthwise.ledger.jobs.arrangement import ArrangedChunk, Arrangement, NewItem
from lengthwise.sharding import ArrivalOrder

POOLS = ["a:1", "b:2"]
ITEMS = st.lists(
    st.builds(
        NewItem,
        n_tokens=st.integers(1, 40),
        payload=st.integers(0, 30).map(bytes),
        lengths=st.just(()),
        refusal=st.none() | st.just(b"refused"),
        pool=st.sampled_from(POOLS),
    ),
    max_size=80,
)


def arranged(items: list[NewItem], portion: int, chunk_bytes: int = 200) -> tuple[Arrangement, list[ArrangedChunk]]:
    """All items, given ``portion`` at a time."""
    made = Arrangement("a:1", ArrivalOrder(100, 8), 5, 20, chunk_bytes, {"b:2": ArrivalOrder(50, 4)})
    chunks = [chunk for at in range(0, len(items), portion) for chunk in made.add(items[at : at + portion])]
    last = made.rest()
    return made, chunks if last is None else [*chunks, last]


@given(items=ITEMS, portion=st.integers(1, 90))
def test_every_item_has_one_position_in_its_own_chunk(items: list[NewItem], portion: int) -> None:
    made, chunks = arranged(items, portion)
    first = 0
    for chunk in chunks:
        assert chunk.first == first
        assert sorted(chunk.order) == list(range(len(chunk.chunk)))
        assert len({at // 20 for at in (first, first + len(chunk.chunk) - 1)}) == 1, "a chunk is not beyond its limit"
        inside = items[first : first + len(chunk.chunk)]
        assert chunk.chunk.payloads == [item.payload for item in inside]
        assert {at for at, item in enumerate(inside) if item.refusal is not None} == chunk.chunk.refusals.keys()
        first += len(chunk.chunk)
    assert first == made.n_items == len(items)


@given(items=ITEMS, portion=st.integers(1, 90))
def test_the_shards_hold_exactly_the_items_of_their_pool_that_run(items: list[NewItem], portion: int) -> None:
    made, chunks = arranged(items, portion)
    at_position = {
        chunk.first + at: items[chunk.first + place] for chunk in chunks for at, place in enumerate(chunk.order)
    }
    in_shards = []
    for pool, shards in made.shards.items():
        for shard in shards:
            inside = [at_position[position] for position in range(shard.lo, shard.hi)]
            assert {item.pool for item in inside} == {pool}
            assert sum(item.n_tokens for item in inside) == shard.n_tokens
            in_shards += inside
    running = [item for item in items if item.refusal is None]
    assert sorted(in_shards) == sorted(running)
    assert (made.n_tokens, made.n_refused) == (sum(item.n_tokens for item in running), len(items) - len(running))


@given(items=ITEMS, portion=st.integers(1, 90))
def test_neither_shards_nor_padding_depend_on_the_portions_in_which_items_arrive(
    items: list[NewItem], portion: int
) -> None:
    one, other = arranged(items, portion, chunk_bytes=10**6)[0], arranged(items, 80, chunk_bytes=10**6)[0]
    assert one.shards == other.shards
    assert one.n_arrival_padded == other.n_arrival_padded
