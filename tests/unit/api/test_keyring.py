"""The keyring's cache: which queries it makes, and how long an answer is valid."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from api.access import keyring
from api.access.keyring import Keyring
from lengthwise import key as keys
from lengthwise.errors import Unauthorized, Unavailable
from lengthwise.key import GeneratedKey
from lengthwise.ledger.accounts.key import Credential
from lengthwise.settings import Settings

PEPPER = "p" * 24


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The current time, which a test may change."""
    now = [0.0]
    monkeypatch.setattr("api.access.keyring.time.monotonic", lambda: now[0])
    return now


class RecordingKeyring(Keyring):
    """Records its queries. The database in the background has the keys ``known``."""

    def __init__(self, *known: GeneratedKey) -> None:
        super().__init__(None, Settings(admin_key=None, key_pepper=PEPPER))  # type: ignore[arg-type]
        self.known = {key.id: self._credential(key) for key in known}
        self.queries: list[list[UUID]] = []
        self.is_away = False

    def _credential(self, key: GeneratedKey) -> Credential:
        return Credential(key.id, UUID(int=9), keys.digest(key.text, PEPPER), ["read"], None, None)

    def _load(self, key_ids: list[UUID]) -> dict[UUID, Credential]:
        self.queries.append(key_ids)
        if self.is_away:
            raise Unavailable("the database is away")
        return {key_id: self.known[key_id] for key_id in key_ids if key_id in self.known}


async def lets_in(ring: RecordingKeyring, key: GeneratedKey) -> bool:
    try:
        return (await ring.admit([f"Bearer {key.text}"])).tenant_id == UUID(int=9)
    except Unauthorized:
        return False


def run(act: Callable[[], Any]) -> Any:
    return asyncio.run(act())


def test_known_and_unknown_keys_are_cached_for_less_than_a_second(clock: list[float]) -> None:
    known, unknown = keys.new_key(), keys.new_key()
    ring = RecordingKeyring(known)

    async def act() -> None:
        for at in (0, 0.2, 0.49):
            clock[0] = at
            assert (await lets_in(ring, known), await lets_in(ring, unknown)) == (True, False)
        assert ring.queries == [[known.id], [unknown.id]]
        ring.known.clear()
        clock[0] = 0.99
        assert not await lets_in(ring, known)

    run(act)


def test_concurrent_guesses_share_a_query(clock: list[float]) -> None:
    ring = RecordingKeyring()

    async def act() -> None:
        guesses = [keys.new_key() for _ in range(2_500)]
        assert not any(await asyncio.gather(*(lets_in(ring, guess) for guess in guesses)))
        assert list(map(len, ring.queries)) == [1_000, 1_000, 500]

    run(act)


def test_a_limited_number_of_keys_is_cached_and_the_latest_stay(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "_MAX_CACHED", 10)
    ring, known = RecordingKeyring(), keys.new_key()
    ring.known[known.id] = ring._credential(known)

    async def act() -> None:
        await asyncio.gather(*(lets_in(ring, keys.new_key()) for _ in range(50)))
        assert await lets_in(ring, known)
        assert len(ring._known) == 10
        assert await lets_in(ring, known)
        assert len(ring.queries) == 2

    run(act)


def test_no_key_is_admitted_while_the_database_is_away_and_the_next_request_queries_again(clock: list[float]) -> None:
    known = keys.new_key()
    ring = RecordingKeyring(known)
    ring.is_away = True

    async def act() -> None:
        answers = await asyncio.gather(*(lets_in(ring, known) for _ in range(3)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [Unavailable] * 3
        ring.is_away = False
        assert await lets_in(ring, known)

    run(act)


def test_a_request_that_stops_waiting_does_not_cancel_the_answer_of_others(clock: list[float]) -> None:
    known = keys.new_key()
    ring = RecordingKeyring(known)

    async def act() -> None:
        first, second = (asyncio.create_task(lets_in(ring, known)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second
        assert first.cancelled()

    run(act)


def test_without_an_admin_key_no_token_is_the_admin_key() -> None:
    async def act() -> None:
        with pytest.raises(Unauthorized):
            await RecordingKeyring().admit(["Bearer " + "\x00" * 32])
        with pytest.raises(Unauthorized):
            await RecordingKeyring().admit(["Bearer none"])

    run(act)
