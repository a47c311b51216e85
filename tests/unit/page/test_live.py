"""Live figures: all viewers share one look, nobody looks for nobody, and a stream ends with its key."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from uuid import UUID, uuid4

import pytest

from api.page.live import MOST_STREAMS, Frame, LiveFigures
from lengthwise.errors import NotFound, TooBusy, Unauthorized, Unavailable

KEY = uuid4()


class Looks:
    """Counts the looks. The frame of the last one ends the streams."""

    def __init__(self, *frames: Frame | Exception) -> None:
        self.frames = frames
        self.n = 0

    def __call__(self) -> Frame:
        found = self.frames[min(self.n, len(self.frames) - 1)]
        self.n += 1
        if isinstance(found, Exception):
            raise found
        return found


async def valid() -> None:
    """The key is valid."""


async def everything(stream: AsyncIterator[bytes]) -> list[tuple[str, str]]:
    """The events of a stream: each name, and its HTML."""
    found = []
    async with asyncio.timeout(10):
        async for event in stream:
            name, data, *rest = event.decode().split("\n")
            assert rest == ["", ""]
            found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))["html"]))
    return found


def figures() -> LiveFigures:
    return LiveFigures(pause_seconds=0.01)


def test_all_viewers_share_one_look() -> None:
    async def run() -> None:
        live, looks = figures(), Looks(*(Frame(f"{n}") for n in range(20)), Frame("end", True))
        seen = await asyncio.gather(*(everything(live.stream(uuid4(), "job", looks, valid)) for _ in range(5)))
        assert looks.n == 21
        for events in seen:
            assert events[-1] == ("over", "end")
            assert {name for name, _ in events[:-1]} == {"figures"}

    asyncio.run(run())


def test_a_viewer_sees_nothing_older_than_their_own_page() -> None:
    """What somebody did is on the page that answers, and is not taken back by figures of the time before."""

    async def run() -> None:
        live, state = figures(), "before"
        look = lambda: Frame(state)  # noqa: E731 - reads what it is at the time
        async with aclosing(live.stream(KEY, "job", look, valid)) as first:
            assert b"before" in await anext(first)
            state = "after"
            async with aclosing(live.stream(KEY, "job", look, valid)) as second, asyncio.timeout(10):
                assert b"after" in await anext(second)
        await live.close()

    asyncio.run(run())


def test_a_viewer_who_comes_later_sees_figures_that_do_not_change() -> None:
    async def run() -> None:
        live, looks = figures(), Looks(Frame("as ever"))
        async with aclosing(live.stream(KEY, "job", looks, valid)) as first:
            await anext(first)
            for _ in range(3):
                await asyncio.sleep(0.05)
                async with aclosing(live.stream(KEY, "job", looks, valid)) as later, asyncio.timeout(10):
                    assert b"as ever" in await anext(later)
        await live.close()

    asyncio.run(run())


def test_two_things_are_looked_at_apart() -> None:
    async def run() -> None:
        live = figures()
        streams = [live.stream(KEY, what, Looks(Frame(what, True)), valid) for what in ("one", "two")]
        assert await asyncio.gather(*map(everything, streams)) == [[("over", "one")], [("over", "two")]]

    asyncio.run(run())


def test_nobody_looks_once_the_last_viewer_has_gone() -> None:
    async def run() -> None:
        live, looks = figures(), Looks(*(Frame(f"{n}") for n in range(10_000)))
        async with aclosing(live.stream(KEY, "job", looks, valid)) as stream:
            await anext(stream)
        await asyncio.sleep(0.2)
        n_looks = looks.n
        await asyncio.sleep(0.2)
        assert looks.n == n_looks

    asyncio.run(run())


def test_a_key_that_is_revoked_ends_its_stream_and_no_other() -> None:
    async def run() -> None:
        live, looks = figures(), Looks(*(Frame(f"{n}") for n in range(30)), Frame("end", True))
        n_checks = 0

        async def check() -> None:
            nonlocal n_checks
            n_checks += 1
            if n_checks > 2:
                raise Unauthorized

        ended, whole = await asyncio.gather(
            everything(live.stream(uuid4(), "job", looks, check)), everything(live.stream(uuid4(), "job", looks, valid))
        )
        assert len(ended) == 2
        assert whole[-1] == ("over", "end")

    asyncio.run(run())


def test_what_is_gone_ends_the_stream() -> None:
    async def run() -> None:
        live = figures()
        assert await everything(live.stream(KEY, "job", Looks(Frame("1"), NotFound("gone")), valid)) == [
            ("figures", "1"),
            ("over", "1"),
        ]

    asyncio.run(run())


def test_a_database_that_is_away_keeps_the_last_figures() -> None:
    async def run() -> None:
        live, looks = figures(), Looks(Frame("1"), Unavailable("away"), Unavailable("away"), Frame("2", True))
        assert await everything(live.stream(KEY, "job", looks, valid)) == [("figures", "1"), ("over", "2")]

    asyncio.run(run())


def test_an_unexpected_error_ends_the_stream_and_is_not_quoted(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        live = figures()
        assert await everything(live.stream(KEY, "job", Looks(ValueError("CaNaRy")), valid)) == [("over", "")]

    asyncio.run(run())
    assert "unexpected ValueError" in caplog.text and "CaNaRy" not in caplog.text


def test_the_streams_of_a_key_have_a_limit_and_are_given_back() -> None:
    async def run() -> None:
        live, looks = figures(), Looks(*(Frame(f"{n}") for n in range(10_000)))
        streams = [live.stream(KEY, "job", looks, valid) for _ in range(MOST_STREAMS)]
        for stream in streams:
            live.require_room(KEY)
            await anext(stream)
        with pytest.raises(TooBusy):
            live.require_room(KEY)
        live.require_room(UUID(int=5))
        await streams[0].aclose()
        live.require_room(KEY)
        for stream in streams[1:]:
            await stream.aclose()
        await live.close()

    asyncio.run(run())
