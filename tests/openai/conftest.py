"""The unmodified SDK against a real server: uvicorn in a thread of this process, with the suite's databases."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from openai import OpenAI

from api.app import create_app
from lengthwise import settings
from tests.fakes import write_echo_model
from tests.integration.conftest import RunWorker, api_key, run_worker, worker
from tests.servers import wait_until

__all__ = ["RunWorker", "api_key", "run_worker", "worker"]

CHATML = "{% for m in messages %}{{ m.content }}{% endfor %}"
MODELS = """
[models.echo]
path = "echo"
engine = "echo"
max_new_tokens = 512
[models.echo.chat]
[models.echo.generate]
[models.other]
path = "other"
engine = "echo"
max_new_tokens = 8
[models.other.chat]
"""


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two echo models. A chat is answered with its own content, reversed."""
    for name in ("echo", "other"):
        folder = write_echo_model(tmp_path / name)
        (folder / "chat_template.jinja").write_text(CHATML)
    path = tmp_path / "models.toml"
    path.write_text(MODELS)
    monkeypatch.setenv("LENGTHWISE_MODELS", str(path))
    settings.get.cache_clear()
    return path


@contextmanager
def served() -> Iterator[str]:
    """Serves the API at a URL for the duration of the block."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(), log_level="warning", timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        wait_until(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)


@pytest.fixture
def url(catalog: Path, installed: settings.Settings) -> Iterator[str]:
    with served() as found:
        yield found


@pytest.fixture
def sdk(url: str, api_key: str) -> Iterator[OpenAI]:
    """An ordinary SDK client, except that it does not wait between retries."""
    with OpenAI(base_url=f"{url}/v1", api_key=api_key, max_retries=0) as client:
        yield client


@contextmanager
def working(run_worker: RunWorker) -> Iterator[None]:
    """A worker that runs all work until the end of the block."""
    is_over = threading.Event()

    def work() -> None:
        while not is_over.wait(0.02):
            run_worker()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(30)
