"""The capacity of a continuous batch: its limits always hold, and no request waits for ever."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from worker.generation.capacity import Capacity


@given(st.integers(1, 20), st.integers(1, 200), st.lists(st.integers(1, 300), max_size=60), st.randoms())
def test_the_limits_hold_except_for_a_lone_request_and_every_request_runs(
    rows: int, tokens: int, lengths: list[int], random: Random
) -> None:
    room, waiting, left = Capacity(rows, tokens), list(enumerate(lengths)), []
    while waiting or room.admitted:
        while room.can_admit_group and waiting and room.admit(*waiting[0]):
            waiting.pop(0)
        assert room.admitted, "or it would wait for ever"
        assert len(room.admitted) <= rows
        assert sum(room.admitted.values()) <= tokens or len(room.admitted) == 1
        number = random.choice(list(room.admitted))
        room.leave(number)
        left.append(number)
    assert sorted(left) == list(range(len(lengths)))


def test_requests_join_once_an_eighth_of_the_capacity_is_free() -> None:
    room = Capacity(rows=16, tokens=160)
    assert all(room.admit(number, 10) for number in range(16))
    can_admit_group = [room.can_admit_group]
    for number in (3, 7):
        room.leave(number)
        can_admit_group.append(room.can_admit_group)
    assert can_admit_group == [False, False, True]
    assert [room.admit(16, 30), room.admit(16, 20)] == [False, True]
