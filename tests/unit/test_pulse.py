"""Who asks a silent database server whether it lives, and what becomes of it."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lengthwise.waiting import pulse
from lengthwise.waiting.pulse import Pulse, ServerSilent, SessionReport


class SilentServer:
    """Lets each question wait and then gives no answer, until it is back."""

    def __init__(self) -> None:
        self.is_back = threading.Event()
        self.askers: list[str] = []

    def ask(self, parameters: Mapping[str, Any]) -> SessionReport | None:
        self.askers.append(threading.current_thread().name)
        self.is_back.wait(0.02)
        return SessionReport({7: True, 8: False}) if self.is_back.is_set() else None


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> SilentServer:
    made = SilentServer()
    monkeypatch.setattr(pulse, "_ask", made.ask)
    return made


@pytest.mark.parametrize("time", range(40))
def test_one_thread_asks_a_silent_server_and_all_others_know_what_it_learned(server: SilentServer, time: int) -> None:
    """Each question takes as long as a caller may wait. If the first thread loses a race, others ask again."""
    closed: list[str] = []
    watched = Pulse(on_silence=lambda: closed.append("idle connections"))
    with ThreadPoolExecutor(12, thread_name_prefix="caller") as callers:
        assert list(callers.map(watched.is_working, range(12))) == [False] * 12
    assert sum(name.startswith("caller") for name in server.askers) == 1
    assert len(closed) == 1
    with pytest.raises(ServerSilent):
        watched.check()
    server.is_back.set()


def test_a_server_that_answers_works_for_some_sessions_only(server: SilentServer) -> None:
    server.is_back.set()
    watched = Pulse(on_silence=lambda: None)
    assert [watched.is_working(session) for session in (7, 8, 9, None)] == [True, False, False, True]
    assert len(server.askers) == 1
    watched.check()


def test_a_server_that_refuses_the_question_is_not_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "_ask", lambda _: SessionReport(None))
    assert Pulse(on_silence=lambda: None).is_working(7)
