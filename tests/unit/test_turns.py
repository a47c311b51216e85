"""Turns at what is scarce: one tenant never holds all of it."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import wraps
from typing import Any, ParamSpec
from uuid import UUID, uuid4

import pytest

from api.access.turns import Turns
from lengthwise.errors import DatabaseUnavailable, TooBusy

P = ParamSpec("P")
ONE, OTHER, THIRD = (uuid4() for _ in range(3))


def in_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


@in_a_loop
async def test_a_tenant_holds_its_share_and_others_go_on() -> None:
    turns = Turns(4, of_tenant=2, patience=0.05)
    async with AsyncExitStack() as stack:
        for tenant in (ONE, ONE, OTHER):
            await stack.enter_async_context(turns.held(tenant))
        with pytest.raises(TooBusy) as refused:
            async with turns.held(ONE):
                pytest.fail("this tenant has its share")
        assert refused.value.retry_after > 0
        async with turns.held(OTHER):
            pass
    async with turns.held(ONE), turns.held(ONE):
        pass


@in_a_loop
async def test_a_free_place_goes_to_the_tenant_that_holds_the_fewest() -> None:
    turns, release = Turns(2, of_tenant=2), asyncio.Event()
    order: list[str] = []

    async def work(tenant: UUID, name: str) -> None:
        async with turns.held(tenant):
            order.append(name)
            if name in ("first", "second"):
                await release.wait()

    async with asyncio.TaskGroup() as group:
        for name in ("first", "second", "third", "fourth"):
            group.create_task(work(ONE, name))
        await asyncio.sleep(0)
        group.create_task(work(OTHER, "other"))
        await asyncio.sleep(0)
        assert order == ["first", "second"]
        release.set()
    assert order == ["first", "second", "other", "third", "fourth"]


@in_a_loop
async def test_those_who_wait_are_counted_and_may_leave() -> None:
    turns = Turns(2, of_tenant=1, max_waiting=1)
    async with turns.held(ONE):
        waiting = asyncio.create_task(turns.held(ONE).__aenter__())
        await asyncio.sleep(0)
        with pytest.raises(TooBusy):
            async with turns.held(ONE):
                pytest.fail("somebody waits already")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with turns.held(ONE), turns.held(OTHER):
        pass


@in_a_loop
async def test_all_who_wait_are_turned_away_if_the_database_is_away() -> None:
    turns = Turns(1, of_tenant=1)
    with pytest.raises(DatabaseUnavailable):
        async with turns.held(ONE):
            waiting = [asyncio.create_task(turns.held(tenant).__aenter__()) for tenant in (ONE, OTHER, THIRD)]
            await asyncio.sleep(0)
            raise DatabaseUnavailable("away", is_away=True)
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in found] == [DatabaseUnavailable] * 3
    async with asyncio.timeout(5), turns.held(OTHER):
        pass


@in_a_loop
async def test_who_waits_is_turned_away_with_its_tenant_if_the_database_does_not_answer_it() -> None:
    turns, gone = Turns(2, of_tenant=1), asyncio.Event()

    async def ask() -> None:
        async with turns.held(ONE):
            await gone.wait()
            raise DatabaseUnavailable("a lock is held", retry_after=7)

    async with turns.held(OTHER):
        asking = [asyncio.create_task(ask()) for _ in range(5)]
        others = asyncio.create_task(turns.held(OTHER).__aenter__())
        await asyncio.sleep(0)
        asking[-1].cancel()
        gone.set()
        found = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(error) for error in found] == [DatabaseUnavailable] * 4 + [asyncio.CancelledError]
        assert all(isinstance(error, DatabaseUnavailable) and error.retry_after == 7 for error in found[:4])
        assert not others.done(), "another tenant's requests still wait for their turn"
    await others
    async with asyncio.timeout(5), turns.held(ONE):
        pass


@pytest.mark.parametrize("cancels_first", [True, False])
@in_a_loop
async def test_a_turn_that_comes_while_its_waiter_leaves_is_not_lost(cancels_first: bool) -> None:
    turns = Turns(1, of_tenant=1)
    held = turns.held(ONE)
    await held.__aenter__()
    waiting = asyncio.create_task(turns.held(OTHER).__aenter__())
    await asyncio.sleep(0)
    if cancels_first:
        waiting.cancel()
    await held.__aexit__(None, None, None)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(5), turns.held(THIRD):
        pass
