"""Who can tell an operator that something is wrong, and when each of them first did, and no longer does."""

import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import httpx

T = TypeVar("T")

#: What a witness cannot say at this moment, because it does not answer.
_SILENCE = (httpx.HTTPError, subprocess.SubprocessError, OSError)


@dataclass(frozen=True, slots=True)
class Witness:
    """``ask`` gives the lines that it shows now, and ``find`` the one among them that tells of the incident."""

    name: str
    ask: Callable[[], list[str]]
    find: Callable[[Sequence[str]], str | None]
    #: The pause between two questions, in seconds.
    pause: float = 1.0
    #: Why it does not follow at once when all is well again; None if it should.
    lasts: str | None = None

    def look(self) -> str | None:
        """What it says of the incident now; None if it says nothing of it. Raises what ``ask`` raises."""
        return self.find(self.ask())


@dataclass(slots=True)
class Statement:
    """What one witness said, and how many seconds after the incident, and after the repair, it began and ended."""

    witness: str
    sentence: str | None = None
    said_after: float | None = None
    well_after: float | None = None
    #: Said instead of a time.
    note: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether it said what it should and was well again, or a note says why not."""
        return self.note is not None or None not in (self.said_after, self.well_after)


@dataclass(slots=True)
class Outcome:
    """How one incident went."""

    title: str
    statements: list[Statement] = field(default_factory=list)
    #: What became of the work.
    ending: str = ""
    problem: str | None = None

    @property
    def is_ok(self) -> bool:
        return self.problem is None and all(each.is_complete for each in self.statements)


def wait_for_words(
    witnesses: Sequence[Witness], began_at: float, patience: float, say: Callable[[str], None]
) -> list[Statement]:
    """Asks all witnesses until each has spoken, for at most ``patience`` seconds. The incident was at ``began_at``."""

    def listen(witness: Witness) -> Statement:
        found = Statement(witness.name, note=witness.lasts)
        if spoken := _wait(witness, patience, lambda sentence: sentence is not None):
            found.sentence, at = spoken
            found.said_after = at - began_at
            say(f"{found.said_after:6.1f} s  {witness.name}: {found.sentence}")
        else:
            found.note = None
            say(f"   never  {witness.name}")
        return found

    return _each(witnesses, listen)


def wait_for_health(
    witnesses: Sequence[Witness],
    statements: Sequence[Statement],
    mended_at: float,
    patience: float,
    say: Callable[[str], None],
) -> None:
    """Asks those that have spoken until they no longer do so, but for those that last by design."""

    def listen(witness: Witness) -> None:
        found = next(each for each in statements if each.witness == witness.name)
        if witness.lasts is not None or found.said_after is None:
            return
        if quiet := _wait(witness, patience, lambda sentence: sentence is None):
            found.well_after = quiet[1] - mended_at
            say(f"{found.well_after:6.1f} s  {witness.name} is well again")
        else:
            say(f"   never  {witness.name} is not well again")

    _each(witnesses, listen)


def _each(witnesses: Sequence[Witness], listen: Callable[[Witness], T]) -> list[T]:
    with ThreadPoolExecutor(max(1, len(witnesses))) as pool:
        return list(pool.map(listen, witnesses))


def _wait(
    witness: Witness, patience: float, is_wanted: Callable[[str | None], bool]
) -> tuple[str | None, float] | None:
    """What it said at last, and when; None if it was not what is wanted. One that does not answer says nothing."""
    ends_at = time.monotonic() + patience
    while (asked_at := time.monotonic()) < ends_at:
        try:
            sentence = witness.look()
        except _SILENCE:
            pass
        else:
            if is_wanted(sentence):
                return sentence, time.monotonic()
        time.sleep(max(0.0, asked_at + witness.pause - time.monotonic()))
    return None
